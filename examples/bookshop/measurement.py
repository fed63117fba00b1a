"""Measures the bestseller page through the site's WSGI application, in this process, one request after the other."""

import statistics
import time
from dataclasses import dataclass
from wsgiref.util import setup_testing_defaults

from django.conf import settings
from django.core.cache import caches
from django.test.utils import override_settings

CATEGORY = "crime"
WARM_UP = 5  # requests
UNCACHED_REQUESTS = 200
CACHED_REQUESTS = 500
PATIENCE = 15  # seconds: a run on a very slow machine ends early


class MeasurementError(Exception):
    """A page did not come."""


@dataclass(frozen=True)
class Measurement:
    """What one way of getting the page took."""

    cache: str
    """The name that the table shows: "none", "memory", "Redis", "Memcached"."""
    way: str
    """A key of `shop.views.WAYS`."""
    requests: int
    milliseconds: float
    """The median of the requests."""
    per_second: float
    """Requests a second over the whole run."""


def why_unreachable(alias):
    """None if a value set in this cache comes back; otherwise what is wrong, in the words of the cache."""
    try:
        caches[alias].set("demo:hello", {"from": alias}, 30)
        if caches[alias].get("demo:hello") == {"from": alias}:
            return None
    # Whatever a cache raises, the demo goes on without it.
    except Exception as error:
        return str(error) or type(error).__name__
    return "A value that was set did not come back."


def measure(application, cache, alias, way, on_request=lambda: None):
    """Asks for the page again and again, the pages' `default` being the cache `alias`."""
    requests = planned_requests(way)
    path = f"/bestsellers/{CATEGORY}/{way}/"
    with override_settings(CACHES={**settings.CACHES, "default": settings.CACHES[alias]}):
        for _ in range(WARM_UP):
            get(application, path)
        times = []
        begin = time.perf_counter()
        while len(times) < requests and time.perf_counter() - begin < PATIENCE:
            start = time.perf_counter()
            get(application, path)
            times.append(time.perf_counter() - start)
            on_request()
        seconds = time.perf_counter() - begin
    return Measurement(cache, way, len(times), statistics.median(times) * 1000, len(times) / seconds)


def planned_requests(way):
    """How many requests a run makes."""
    return UNCACHED_REQUESTS if way == "no-cache" else CACHED_REQUESTS


def get(application, path):
    """The body of a page, or MeasurementError."""
    environ = {"PATH_INFO": path, "HTTP_HOST": "127.0.0.1:8000", "REMOTE_ADDR": "127.0.0.1"}
    setup_testing_defaults(environ)
    answered = []
    response = application(environ, lambda status, headers, exc_info=None: answered.append(status))
    try:
        body = b"".join(response)
    finally:
        response.close()
    if answered != ["200 OK"]:
        raise MeasurementError(f"{path} answered {answered[0]}.")
    return body
