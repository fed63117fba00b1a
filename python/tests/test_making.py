"""A backend is made per thread and per task: from settings that were read before, and yet from what they say now."""

from collections.abc import Callable

import pytest
from backends import BACKENDS, PINYON
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

pytestmark = pytest.mark.pinyon_only

#: Backends that can be made without their server.
MADE = {"memory": "making", "redis": "redis://127.0.0.1:1/0", "memcached": "127.0.0.1:1"}


@pytest.fixture(params=MADE)
def entry(request):
    return {"BACKEND": PINYON[request.param], "LOCATION": MADE[request.param], "KEY_PREFIX": "shop", "TIMEOUT": 60}


def attributes(cache):
    return (cache.default_timeout, cache.key_prefix, cache.version, cache.key_func, cache._max_entries)


def test_every_object_of_an_alias_has_the_same_attributes(configure, entry):
    caches = configure({"default": entry})
    first, *others = [caches.create_connection("default") for _ in range(3)]
    assert first.key_prefix == "shop" and first.default_timeout == 60
    assert [attributes(other) for other in others] == [attributes(first)] * 2
    assert len({id(cache) for cache in (first, *others)}) == 3


def test_what_is_changed_on_one_object_is_not_changed_on_the_next(configure, entry):
    caches = configure({"default": entry})
    for _ in range(3):
        cache = caches.create_connection("default")
        assert cache.make_key("key") == "shop:1:key"
        cache.key_prefix, cache.version, cache.default_timeout, cache._max_entries = "other", 2, 1, 7
        assert cache.make_key("key") == "other:2:key"


def test_settings_that_are_changed_in_place_count_for_the_next_object(configure, entry):
    caches = configure({"default": entry})
    assert caches.create_connection("default").default_timeout == 60
    settings = caches.settings["default"]
    settings["TIMEOUT"], settings["KEY_PREFIX"] = 61, "prefix"
    settings["OPTIONS"] = options = {"NOT_AN_OPTION": 5}
    with pytest.raises(ImproperlyConfigured, match="NOT_AN_OPTION"):
        caches.create_connection("default")
    del options["NOT_AN_OPTION"]
    cache = caches.create_connection("default")
    assert (cache.default_timeout, cache.key_prefix) == (61, "prefix")


def test_a_key_function_by_its_path_is_looked_up_for_every_object(configure, entry, monkeypatch):
    caches = configure({"default": {**entry, "KEY_FUNCTION": f"{__name__}.first_key"}})
    assert caches.create_connection("default").make_key("key") == "first key"
    monkeypatch.setitem(globals(), "first_key", lambda key, prefix, version: f"second {key}")
    assert caches.create_connection("default").make_key("key") == "second key"


def first_key(key, prefix, version):
    return f"first {key}"


def test_a_subclass_with_attributes_of_its_own_keeps_them(configure):
    caches = configure({"default": {"BACKEND": f"{__name__}.Counting", "LOCATION": "making"}})
    for _ in range(3):
        cache = caches.create_connection("default")
        assert cache.was_set == [
            "default_timeout",
            "_max_entries",
            "_cull_frequency",
            "key_prefix",
            "version",
            "key_func",
        ]


def _counting():
    from pinyon.django import LocMemCache

    class Counting(LocMemCache):
        def __setattr__(self, name, value):
            self.__dict__.setdefault("was_set", []).append(name)
            super().__setattr__(name, value)

    return Counting


Counting: Callable[..., object] = _counting()


def test_an_error_names_the_alias_that_the_settings_give_now(configure):
    entry = {"BACKEND": BACKENDS["redis"], "LOCATION": MADE["redis"]}
    for alias in ("shelf", "drawer", "shelf"):
        caches = configure({"default": {"BACKEND": PINYON["memory"]}, alias: dict(entry)})
        with pytest.raises(Exception, match=f"cache '{alias}'"):
            caches[alias].get("key")


def test_a_setting_for_all_caches_counts_from_the_next_object(configure):
    entry = {"BACKEND": BACKENDS["redis"], "LOCATION": MADE["redis"]}
    caches = configure({"default": entry})

    def is_ignored():
        cache = caches.create_connection("default")
        try:
            return cache.get("key") is None
        except Exception:
            return False

    assert not is_ignored()
    with override_settings(DJANGO_REDIS_IGNORE_EXCEPTIONS=True):
        assert is_ignored()
        with override_settings(USE_TZ=False):
            assert is_ignored()
        with override_settings():
            from django.conf import settings

            del settings.DJANGO_REDIS_IGNORE_EXCEPTIONS
            assert not is_ignored()
    assert not is_ignored()
