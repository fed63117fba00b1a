"""What a Django site relies on beyond Django's own BaseCacheTests, for each backend."""

import asyncio
import pickle
import warnings
from unittest import mock

import pytest
from backends import BACKENDS
from django.core.cache import InvalidCacheKey
from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache, CacheKeyWarning
from django.core.signals import request_finished
from django.utils.module_loading import import_string
from payloads import Book, Unpicklable


def test_it_is_a_base_cache(cache):
    assert isinstance(cache, BaseCache)
    assert cache.default_timeout == 300
    assert cache.version == 1
    assert cache.key_prefix == ""


@pytest.mark.pinyon_only
def test_the_rust_class_comes_first(name):
    if name == "database":
        pytest.skip("works on Django's connection, so it is Python")
    order = [cls.__module__ for cls in import_string(BACKENDS[name]).__mro__]
    assert order.index("pinyon._pinyon") < order.index(BaseCache.__module__)


@pytest.mark.parametrize("stored", [None, False, 0, "", b"", [], {}])
def test_a_falsy_value_is_a_hit(cache, stored):
    cache.set("key", stored)
    sentinel = object()
    assert cache.get("key", sentinel) == stored
    assert cache.get_many(["key"]) == {"key": stored}
    assert "key" in cache
    assert cache.add("key", "other") is False
    assert cache.get_or_set("key", "other") == stored


def test_get_or_set_evaluates_the_default_only_on_a_miss(cache):
    compute = mock.Mock(return_value={"computed": 1})
    assert cache.get_or_set("key", compute) == {"computed": 1}
    assert cache.get_or_set("key", compute) == {"computed": 1}
    compute.assert_called_once_with()
    assert cache.get_or_set("none", None) is None
    assert cache.has_key("none")


def test_get_or_set_returns_what_another_stored_meanwhile(cache):
    def slow():
        cache.set("key", "theirs")
        return "ours"

    assert cache.get_or_set("key", slow) == "theirs"


def test_get_or_set_without_storing_returns_the_default(cache):
    assert cache.get_or_set("key", "value", timeout=0) == "value"
    assert not cache.has_key("key")


def test_mutable_values_are_copies(cache):
    value = {"list": [1]}
    cache.set("key", value)
    value["list"].append(2)
    first, second = cache.get("key"), cache.get("key")
    assert first == second == {"list": [1]}
    first["list"].append(3)
    assert cache.get("key") == {"list": [1]}
    assert cache.get_or_set("new", lambda: value) == value
    assert cache.get("new") is not value


@pytest.mark.parametrize("store", ["set", "add", "set_many", "get_or_set"])
def test_pickling_errors_propagate(cache, store):
    with pytest.raises(pickle.PicklingError, match="does not travel"):
        if store == "set_many":
            cache.set_many({"key": Unpicklable()})
        else:
            getattr(cache, store)("key", Unpicklable())


def test_versions(name, params, configure):
    caches = configure({"default": params(name), "unused": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}})
    cache = caches["default"]
    cache.set_many({"a": 1, "b": 2}, version=2)
    assert cache.get("a") is None
    assert cache.get_many(["a", "b"], version=2) == {"a": 1, "b": 2}
    cache.version = 2
    assert cache.get("a") == 1
    assert cache.incr("a", version=2) == 2
    assert cache.delete("a", version=1) is False
    assert cache.incr_version("b") == 3
    assert cache.get("b", version=3) == 2
    with pytest.raises(ValueError, match="not found"):
        cache.incr_version("b")
    cache.set("c", "text", version="v-x")
    assert cache.get("c", version="v-x") == "text"


def test_the_key_function_is_read_on_every_call(cache):
    cache.set("key", 1)
    cache.key_func = lambda key, key_prefix, version: f"other-{key}"
    assert cache.get("key") is None
    cache.set("key", 2)
    del cache.key_func
    cache.key_func = lambda key, key_prefix, version: f":1:{key}"
    assert cache.get("key") == 1
    cache.key_prefix = "ignored by this function"
    assert cache.get_many(["key"]) == {"key": 1}


def test_the_default_timeout_can_change_at_run_time(cache):
    cache.default_timeout = 0
    cache.set("key", 1)
    assert not cache.has_key("key")
    cache.default_timeout = None
    cache.set("key", 1)
    assert cache.has_key("key")
    cache.set("key", 1, DEFAULT_TIMEOUT)
    assert cache.has_key("key")


def subclass(name, body):
    """The dotted path of a subclass of the backend."""
    globals()[f"Derived{name}"] = type(f"Derived{name}", (import_string(BACKENDS[name]),), body)
    return f"{__name__}.Derived{name}"


def test_a_subclass_may_override_make_key(name, params, configure):
    path = subclass(name, {"make_key": lambda self, key, version=None: f"made-{key}"})
    entry = params(name)
    caches = configure({"plain": entry, "derived": {**entry, "BACKEND": path}})
    derived = caches["derived"]
    derived.set("key", 1)
    caches["plain"].key_func = lambda key, key_prefix, version: key
    assert caches["plain"].get("made-key") == 1
    derived.set_many({"a": 1})
    assert derived.get_many(["a", "key"]) == {"a": 1, "key": 1}
    assert derived.incr("a") == 2
    assert derived.delete("a")


def test_a_subclass_may_override_validate_key(name, params, configure):
    seen = []
    path = subclass(name, {"validate_key": lambda self, key: seen.append(key)})
    cache = configure({"default": params(name, BACKEND=path)})["default"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cache.set("key", 1)
        cache.get("key")
        cache.get_many(["key"])
        cache.delete("key")
    assert seen == [":1:key"] * 4


def test_a_subclass_may_override_an_operation(name, params, configure):
    backend = import_string(BACKENDS[name])

    def get(self, key, default=None, version=None):
        return ("seen", backend.get(self, key, default, version))

    cache = configure({"default": params(name, BACKEND=subclass(name, {"get": get}))})["default"]
    cache.set("key", 1)
    assert cache.get("key") == ("seen", 1)


def test_operations_can_be_patched_on_the_class_and_on_the_instance(name, cache):
    with mock.patch(f"{BACKENDS[name]}.get", return_value="patched") as patched:
        assert cache.get("key") == "patched"
    patched.assert_called_once_with("key")
    with mock.patch.object(cache, "set") as patched:
        cache.set("key", 1)
    patched.assert_called_once_with("key", 1)
    assert cache.get("key") is None


def test_async_methods_do_what_the_sync_ones_do(cache):
    # Django 6.1 looks at `cache.get_many.__func__` in these, which a method in Rust has not.
    async def use():
        await cache.aset("n", 1, 30)
        assert await cache.aadd("n", 2) is False
        assert await cache.aincr("n", 4) == 5
        assert await cache.adecr("n", 2) == 3
        assert await cache.aset_many({"a": 1, "b": None}, 30) == []
        assert await cache.aget_many(["a", "b", "c"]) == {"a": 1, "b": None}
        assert await cache.ahas_key("a") and not await cache.ahas_key("c")
        assert await cache.aget_or_set("c", lambda: "made") == "made"
        assert await cache.aincr_version("c") == 2
        assert await cache.adecr_version("c", version=2) == 1
        await cache.adelete_many(["a", "b"])
        assert await cache.aget("a", "gone") == "gone"
        assert await cache.atouch("n") and await cache.adelete("n")
        await cache.aclear()
        await cache.aclose()

    asyncio.run(use())


@pytest.mark.pinyon_only
def test_a_new_version_keeps_the_timeout(cache):
    cache.set("brief", "value", 40)
    cache.set("lasting", None, None)
    assert cache.incr_version("brief") == 2
    assert cache.incr_version("lasting", 3) == 4
    # Memcached and databases count whole seconds.
    assert 37 <= cache.ttl("brief", version=2) <= 41
    assert cache.ttl("lasting", version=4) is None
    assert cache.get("lasting", "gone", version=4) is None
    assert cache.decr_version("lasting", 3, version=4) == 1
    with pytest.raises(ValueError, match="Key 'absent' not found"):
        cache.incr_version("absent")


def test_arguments_have_djangos_names_and_order(cache):
    cache.set(key="k", value=1, timeout=None, version=3)
    cache.set("l", 2, 60, 3)
    assert cache.get(key="k", default=None, version=3) == 1
    assert cache.get("m", "default", 3) == "default"
    assert cache.get_many(keys=["k", "l"], version=3) == {"k": 1, "l": 2}
    assert cache.add(key="n", value=0, timeout=60, version=3) is True
    assert cache.incr(key="k", delta=4, version=3) == 5
    assert cache.decr(key="k", delta=4, version=3) == 1
    assert cache.touch(key="k", timeout=60, version=3) is True
    assert cache.has_key(key="k", version=3) is True
    assert cache.set_many(data={"o": 1}, timeout=60, version=3) == []
    assert cache.delete(key="o", version=3) is True
    assert cache.delete_many(keys=iter(["k", "l"]), version=3) in (None, 2)
    assert cache.get_or_set(key="p", default=1, timeout=60, version=3) == 1
    with pytest.raises(TypeError):
        cache.get("k", nonsense=1)
    with pytest.raises(TypeError):
        cache.set("k")


def test_the_results_have_djangos_types(cache):
    # Redis answers as django-redis does: whether it was stored, and how many were deleted.
    assert cache.set("key", 1) in (None, True)
    assert cache.touch("missing") is False
    assert cache.delete("missing") is False
    assert cache.has_key("missing") is False
    assert cache.set_many({}) == []
    assert cache.get_many([]) == {}
    assert cache.delete_many([]) in (None, 0)


def test_nothing_is_stored_under_an_invalid_key(name, cache):
    for key in "with blank", "k" * 300, "nul\0":
        if name == "memcached":
            with pytest.raises(InvalidCacheKey):
                cache.set(key, 1)
        else:
            with pytest.warns(CacheKeyWarning):
                cache.set(key, 1)
    with pytest.raises(InvalidCacheKey) if name == "memcached" else pytest.warns(CacheKeyWarning):
        cache.get_many(["fine", "not fine"])


@pytest.mark.pinyon_only
def test_a_key_too_long_in_bytes_is_djangos_error(params, configure):
    cache = configure({"default": params("memcached")})["default"]
    with pytest.raises(InvalidCacheKey):
        cache.set("ü" * 200, 1)
    cache.set("ü" * 120, 1)
    assert cache.get("ü" * 120) == 1


def test_a_value_that_is_no_integer_cannot_be_counted(cache):
    for value in "text", {"a": 1}, None:
        cache.set("key", value)
        with pytest.raises(Exception) as caught:
            cache.incr("key")
        assert not isinstance(caught.value, ValueError)
        assert cache.get("key") == value
    with pytest.raises(ValueError, match="not found"):
        cache.incr("missing")


@pytest.mark.pinyon_only
def test_the_counting_error_is_a_type_error(cache):
    import pinyon

    cache.set("key", "text")
    with pytest.raises(pinyon.NotAnIntegerError) as caught:
        cache.incr("key")
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, pinyon.CacheError)


def test_the_end_of_a_request_harms_nothing(cache):
    cache.set("key", 1)
    request_finished.send(sender=None)
    cache.close()
    assert cache.get("key") == 1


def test_the_async_methods(cache):
    async def everything():
        assert await cache.aset("key", {"a": 1}) in (None, True)
        assert await cache.aget("key") == {"a": 1}
        assert await cache.aadd("key", 2) is False
        assert await cache.aset_many({"n": 1, "m": 2}) == []
        assert await cache.aget_many(["n", "m", "x"]) == {"n": 1, "m": 2}
        assert await cache.aincr("n") == 2
        assert await cache.adecr("n") == 1
        assert await cache.atouch("n", 60) is True
        assert await cache.ahas_key("n") is True
        assert await cache.aget_or_set("o", lambda: 3) == 3
        assert await cache.aincr_version("o") == 2
        assert await cache.adelete("n") is True
        await cache.adelete_many(["m"])
        await cache.aclear()
        assert await cache.aget("key", "gone") == "gone"
        await cache.aclose()
        await asyncio.gather(*(cache.aset(f"k{number}", number) for number in range(50)))
        assert await asyncio.gather(*(cache.aget(f"k{number}") for number in range(50))) == list(range(50))

    asyncio.run(everything())


def test_two_aliases_of_one_place_see_each_others_values(name, params, configure):
    entry = params(name)
    caches = configure({"default": entry, "other": entry, "prefixed": {**entry, "KEY_PREFIX": "p"}})
    caches["default"].set("key", Book(1, "One"))
    assert caches["other"].get("key") == Book(1, "One")
    assert caches["prefixed"].get("key") is None
    caches["prefixed"].set("key", 2)
    assert caches["other"].get("key") == Book(1, "One")
