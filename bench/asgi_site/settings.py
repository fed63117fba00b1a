"""The bookshop's settings with the cache of one peer: ASGI_SITE_CACHE is its entry of CACHES as JSON, or null for no cache.

There is no middleware: Django's own takes every async request through threads, whichever cache is used.
"""

import json
import os

from bookshop.settings import *  # noqa: F403

ENTRY = json.loads(os.environ["ASGI_SITE_CACHE"])
HAS_CACHE = ENTRY is not None
CACHES = {"default": ENTRY or {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
MIDDLEWARE = []
ROOT_URLCONF = "asgi_site.urls"
ALLOWED_HOSTS = ["*"]
