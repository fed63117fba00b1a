"""A site of one file, as it is often found."""

import os
from pathlib import Path

import pinyon.django

BASE_DIR = Path(__file__).resolve().parent.parent
MINUTE = 60
REDIS_HOST = os.environ.get("REDIS_HOST", "127.0.0.1")
REDIS_PORT = int(os.getenv("REDIS_PORT", "6379"))
DEBUG = os.environ.get("DEBUG", "no").lower() in ("1", "true", "yes")
PREFIX = "shop"

COMMON = {"TIMEOUT": 15 * MINUTE, "KEY_PREFIX": PREFIX + "-2"}

CACHES = {
    "default": {
        **COMMON,
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": f"redis://{REDIS_HOST}:{REDIS_PORT}/1",
        "OPTIONS": {"SOCKET_TIMEOUT": 0.5},
    },
    "files": dict(
        BACKEND="django.core.cache.backends.filebased.FileBasedCache",
        LOCATION=BASE_DIR / "var" / "cache",
        TIMEOUT=None,
    ),
}
CACHES["sessions"] = {
    "BACKEND": "django.core.cache.backends.memcached." "PyMemcacheCache",
    "LOCATION": ["%s:%d" % (REDIS_HOST, 11211)],
}
CACHES["sessions"]["KEY_PREFIX"] = "{}-sessions".format(PREFIX)
CACHES.update({"pages": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "VERSION": -1}})
if DEBUG:
    CACHES["pages"]["BACKEND"] = "django.core.cache.backends.dummy.DummyCache"
elif os.path.join(str(BASE_DIR), "x").endswith("/x"):
    CACHES["pages"]["LOCATION"] = os.path.basename("a/pages")

CACHES = pinyon.django.accelerate(CACHES)
