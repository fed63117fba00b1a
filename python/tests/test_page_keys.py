"""A Rust program drops a page and a fragment that Django cached, and Django makes them anew.

Django caches through its own decorator and its own tag, on its own Redis backend and on Pinyon's; the example `drop_cached`
of the crate finds the keys.
"""

import subprocess
from pathlib import Path

import backends
import django
import pytest
from django.http import HttpResponse
from django.template import Context, Engine
from django.test import RequestFactory, override_settings
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_headers

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.pinyon_only


@pytest.fixture(scope="module")
def drop():
    """`drop(url, what, ...)` runs the example, and answers whether there was something to drop."""
    build = ["cargo", "build", "--quiet", "-p", "pinyon", "--example", "drop_cached"]
    subprocess.run(build, cwd=ROOT, check=True, timeout=600)
    run = ["cargo", "run", "--quiet", "-p", "pinyon", "--example", "drop_cached", "--"]

    def dropped(url, *what):
        done = subprocess.run(
            [*run, url, django.get_version(), *what], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return {"dropped\n": True, "not there\n": False}[done.stdout]

    return dropped


@pytest.fixture(params=["django", "pinyon"])
def url(request, params, configure, redis_server):
    """The address of a Redis on which Django's alias `default` is, with either backend."""
    entry = params("redis")
    if request.param == "django":
        entry["BACKEND"] = backends.INCUMBENT["redis"]
    configure({"default": entry})
    return redis_server.url


def test_a_fragment_that_was_dropped_is_rendered_again(url, drop):
    engine = Engine(libraries={"cache": "django.templatetags.cache"})
    template = engine.from_string("{% load cache %}{% cache 600 sidebar user color %}{{ number }}{% endcache %}")

    def rendered(number, user=42):
        return template.render(Context({"number": number, "user": user, "color": "grün"}))

    assert [rendered(1), rendered(2), rendered(3, user=43)] == ["1", "1", "3"]
    assert not drop(url, "fragment", "sidebar", "42")
    assert drop(url, "fragment", "sidebar", "42", "grün")
    assert [rendered(4), rendered(5, user=43)] == ["4", "3"]


@pytest.mark.parametrize("use_tz", [False, True])
def test_a_page_that_was_dropped_is_made_again(url, drop, use_tz):
    made = []

    @cache_page(600)
    @vary_on_headers("X-Color", "X-Absent", "Accept-Language")
    def view(request):
        made.append(request.headers.get("X-Color"))
        return HttpResponse(f"page {len(made)}")

    def seen(color):
        request = RequestFactory().get("/books/?page=2", headers={"X-Color": color})
        return view(request).content.decode()

    def drop_page(color):
        zone = "America/Chicago" if use_tz else "-"
        return drop(url, "page", "http://testserver/books/?page=2", "en-us", zone, f"HTTP_X_COLOR={color}")

    with override_settings(USE_TZ=use_tz, USE_I18N=True, LANGUAGE_CODE="en-us", ALLOWED_HOSTS=["testserver"]):
        assert [seen("red"), seen("red"), seen("blue"), seen("blue")] == ["page 1", "page 1", "page 2", "page 2"]
        assert not drop_page("green")
        assert drop_page("red")
        assert [seen("red"), seen("blue")] == ["page 3", "page 2"]
