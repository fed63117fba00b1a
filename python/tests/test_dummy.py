"""DummyCache stores nothing and breaks nothing around it. Django's own tests of it run in test_django_suite.py."""

import itertools
from unittest import mock

import pytest
from backends import DUMMY, INCUMBENT
from django.core.cache.backends.base import BaseCache, CacheKeyWarning
from django.http import HttpResponse
from django.template import Context, engines
from django.test import RequestFactory, override_settings
from django.views.decorators.cache import cache_page


@pytest.fixture
def cache(configure):
    return configure({"default": {"BACKEND": DUMMY}})["default"]


def test_nothing_is_found_again(cache):
    assert isinstance(cache, BaseCache)
    assert cache.set("key", "value") is None
    assert cache.get("key", "default") == "default"
    assert cache.add("key", "value") is True
    assert cache.get_or_set("key", lambda: "computed") == "computed"
    assert cache.set_many({"a": 1, "b": 2}) == []
    assert cache.get_many(["a", "b"]) == {}
    assert (cache.touch("key"), cache.delete("key"), cache.has_key("key")) == (False, False, False)
    with pytest.raises(ValueError, match="Key 'key' not found"):
        cache.incr("key")


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("get", ["a b"]),
        ("set", ["a b", 1]),
        ("add", ["a b", 1]),
        ("touch", ["a b"]),
        ("delete", ["a b"]),
        ("has_key", ["a b"]),
        ("get_many", [["a b"]]),
        ("set_many", [{"a b": 1}]),
        ("delete_many", [["a b"]]),
    ],
)
def test_a_key_that_memcached_would_refuse_is_warned_of(cache, method, arguments):
    with pytest.warns(CacheKeyWarning, match="':1:a b'"):
        getattr(cache, method)(*arguments)


def test_it_takes_the_settings_of_the_cache_whose_place_it_takes(configure):
    entry = {"BACKEND": DUMMY, "LOCATION": ["redis://cache:6379"], "OPTIONS": {"socket_timeout": 1}, "KEY_PREFIX": "p"}
    cache = configure({"default": entry})["default"]
    assert cache.make_key("key") == "p:1:key"
    cache.set("key", 1)
    assert cache.get("key") is None


def test_a_method_can_be_patched_on_the_object(cache):
    with mock.patch.object(cache, "get", return_value="patched"):
        assert cache.get("key") == "patched"
        assert cache.get_many(["key"]) == {"key": "patched"}
    assert cache.get("key") is None


@pytest.mark.pinyon_only
def test_a_wrong_timeout_is_still_an_error(configure):
    from django.core.exceptions import ImproperlyConfigured

    with pytest.raises(ImproperlyConfigured, match="TIMEOUT"):
        configure({"default": {"BACKEND": DUMMY, "TIMEOUT": "soon"}})["default"].get("key")


@pytest.mark.pinyon_only
def test_ttl_says_that_there_is_no_entry(cache):
    cache.set("key", 1, 60)
    assert cache.ttl("key") == 0


@pytest.mark.pinyon_only
def test_accelerate_replaces_djangos():
    from pinyon.django import accelerate

    incumbent = "django.core.cache.backends.dummy.DummyCache"
    assert incumbent not in INCUMBENT.values()
    assert accelerate({"default": {"BACKEND": incumbent, "TIMEOUT": 5}}) == {
        "default": {"BACKEND": "pinyon.django.DummyCache", "TIMEOUT": 5}
    }


def test_cached_pages_and_fragments_are_made_each_time(cache):
    pages = itertools.count(1)

    @cache_page(60)
    def view(request):
        return HttpResponse(str(next(pages)))

    request = RequestFactory().get("/")
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        assert [view(request).content for _ in range(2)] == [b"1", b"2"]

    with override_settings(TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates"}]):
        template = engines["django"].from_string("{% load cache %}{% cache 60 fragment %}{{ number }}{% endcache %}")
        assert [template.template.render(Context({"number": number})) for number in (1, 2)] == ["1", "2"]
