import os

PASSWORD = "s3cret"
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemcache",
        "LOCATION": "shop",
    },
    "redis_cache": {
        "BACKEND": "redis", "LOCATION": "redis://:s3cret@127.0.0.1:6379/1", "TIMEOT": 60,  # s3cret
    },
}
