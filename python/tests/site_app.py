"""A tiny Django site for gunicorn; SITE_CACHES is its CACHES dictionary as JSON.

It uses every cache while it is imported, that is, with --preload, in the master before it forks.
"""

import json
import os

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path

CACHES = json.loads(os.environ["SITE_CACHES"])
NAMES = [name for name in CACHES if name != "default"]

settings.configure(
    ALLOWED_HOSTS=["*"],
    CACHES=CACHES,
    MIDDLEWARE=[],
    ROOT_URLCONF=__name__,
    SECRET_KEY="not a secret: for tests",
)
django.setup()

from django.core.cache import caches  # noqa: E402

for name in NAMES:
    caches[name].set_many({"preloaded": ["by the master"], "total": 0}, None)


def index(request):
    return JsonResponse({"pid": os.getpid(), "totals": {name: caches[name].get("total") for name in NAMES}})


def count(request):
    fine = True
    for name in NAMES:
        caches[name].incr("total")
        own = f"own-{os.getpid()}"
        caches[name].set(own, os.getpid())
        fine = fine and caches[name].get(own) == os.getpid()
    preloaded = {name: caches[name].get("preloaded") for name in NAMES}
    return JsonResponse({"pid": os.getpid(), "fine": fine, "preloaded": preloaded})


urlpatterns = [path("", index), path("count", count)]
application = get_wsgi_application()
