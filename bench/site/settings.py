"""The bookshop's settings with the cache of one peer: BENCH_CACHE is its entry of CACHES as JSON, or null for no cache.

There is no middleware: Django's own takes every async request through threads, whichever cache is used.
"""

import json
import os

from bookshop.settings import *  # noqa: F403

ENTRY = json.loads(os.environ["BENCH_CACHE"])
HAS_CACHE = ENTRY is not None
CACHES = {"default": ENTRY or {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
MIDDLEWARE = []
ROOT_URLCONF = "bench.site.urls"
ALLOWED_HOSTS = ["*"]
