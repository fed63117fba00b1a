"""Settings of the bookshop. Everything about Pinyon is in the section "Caches"."""

import os
from pathlib import Path

import pinyon.django

BASE_DIR = Path(__file__).resolve().parent.parent

# Good enough for a site that signs nothing; a site of your own sets the variable.
SECRET_KEY = os.environ.get("BOOKSHOP_SECRET_KEY", "an example signs nothing and so has no secret")
DEBUG = False
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

# --- Caches ---------------------------------------------------------------------------------------------------

REDIS = os.environ.get("BOOKSHOP_REDIS", "redis://127.0.0.1:6379/1")
MEMCACHED = os.environ.get("BOOKSHOP_MEMCACHED", "127.0.0.1:11211")

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_PREFIX": "bookshop",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    },
    "redis_cache": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": REDIS,
        "KEY_PREFIX": "bookshop",
    },
    "memcached_cache": {
        "BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache",
        "LOCATION": MEMCACHED,
        "KEY_PREFIX": "bookshop",
    },
}

# The one line that puts all three on Pinyon.
CACHES = pinyon.django.accelerate(CACHES)

# The pages use `default`. BOOKSHOP_CACHE=redis_cache makes that the Redis, without another change.
CACHES["default"] = CACHES[os.environ.get("BOOKSHOP_CACHE", "default")]

# --- The rest is Django as usual --------------------------------------------------------------------------------

INSTALLED_APPS = ["django.contrib.humanize", "pinyon.django", "shop"]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "shop.middleware.PageCost",
]

TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]

ROOT_URLCONF = "bookshop.urls"
WSGI_APPLICATION = "bookshop.wsgi.application"
ASGI_APPLICATION = "bookshop.asgi.application"

DATABASE = os.environ.get("BOOKSHOP_DATABASE", BASE_DIR / "bookshop.sqlite3")
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"

# With DEBUG off Django only mails errors; here they belong on the terminal.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"terminal": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["terminal"], "level": "ERROR", "propagate": False}},
}
