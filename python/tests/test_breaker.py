"""The circuit breaker of the Redis backend: a server that fails again and again is left alone for a while."""

import asyncio

import pytest
from backends import BACKENDS, error
from servers import RedisServer, wait_until

pytestmark = pytest.mark.pinyon_only


@pytest.fixture
def server():
    with RedisServer() as server:
        yield server


@pytest.fixture
def make(server, configure):
    def make(**options):
        entry = {"BACKEND": BACKENDS["redis"], "LOCATION": server.url, "OPTIONS": {"socket_timeout": 0.05, **options}}
        return configure({"default": entry})["default"]

    return make


def call_sync(cache, method, *arguments):
    return getattr(cache, method)(*arguments)


def call_async(cache, method, *arguments):
    return asyncio.run(getattr(cache, f"a{method}")(*arguments))


@pytest.mark.parametrize("call", [call_sync, call_async])
def test_three_failures_in_a_row_are_waited_for_and_no_fourth(call, server, make):
    cache = make()
    call(cache, "set", "key", 1)
    with server.paused():
        for _ in range(3):
            with pytest.raises(error("CacheTimeoutError")):
                call(cache, "get", "key")
        for _ in range(50):
            with pytest.raises(error("CacheConnectionError"), match="failed 3 times in a row") as raised:
                call(cache, "get", "key")
            assert raised.value.hint and not isinstance(raised.value, error("CacheTimeoutError"))
        stats = cache.stats()
        assert stats["breaker_failures"] == 3 and 0 < stats["breaker_pause_ms"] <= 1000
    wait_until(lambda: cache.stats()["breaker_pause_ms"] == 0, "the pause to end")
    assert call(cache, "get", "key") == 1
    assert cache.stats()["breaker_failures"] == 0


@pytest.mark.parametrize("call", [call_sync, call_async])
def test_ignored_errors_cost_no_timeout_each(call, server, make):
    cache = make(IGNORE_EXCEPTIONS=True)
    with server.paused():
        found = [call(cache, "get", "key", "default") for _ in range(200)]
        assert found == ["default"] * 200
        assert cache.stats()["breaker_failures"] == 3 and cache.stats()["errors"] == 200


def test_breaker_failures_0_switches_it_off(server, make):
    cache = make(BREAKER_FAILURES=0)
    with server.paused():
        for _ in range(6):
            with pytest.raises(error("CacheTimeoutError")):
                cache.get("key")
