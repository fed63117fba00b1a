"""The process of test_processes.Caller: one call that may be interrupted, then another one."""

import json
import signal
import sys
import time

import django
from django.conf import settings

settings.configure(CACHES=json.loads(sys.argv[1]), SECRET_KEY="not a secret: for tests")
django.setup()

from django.core.cache import cache  # noqa: E402

signal.signal(signal.SIGUSR1, lambda *_: None)
# A shell that starts the tests in the background has SIGINT ignored, which is inherited.
signal.signal(signal.SIGINT, signal.default_int_handler)
cache.set_many({"one": "first", "two": "second"})
assert cache.get("one") == "first"
print("ready", flush=True)
sys.stdin.readline()
try:
    print("calling", flush=True)
    print(cache.get("one"), flush=True)
except KeyboardInterrupt:
    print("KeyboardInterrupt", flush=True)
sys.stdin.readline()
answer = cache.get("two")
# An interrupted call may count as a failure of the server, which is then left alone for its retry time.
while answer is None:
    time.sleep(0.05)
    answer = cache.get("two")
print(answer, flush=True)
