"""From event loops: every way to a server, and servers that are gone, hang, lie, refuse or do not read."""

import asyncio
import os
import threading
import time
from contextlib import ExitStack, contextmanager

import pytest
from backends import BACKENDS, error
from loops import RUN, SERVERS, deserted, entry, healthy, location, opened, resident_bytes, run, settled
from servers import HOST, PATIENCE, MemcachedServer, RedisServer, ScriptedServer, free_port, wait_until
from test_addresses import QUOTED

MIB = 2**20
KINDS = pytest.mark.parametrize("kind", list(RUN))
BOTH = pytest.mark.parametrize("name", list(SERVERS))
pytestmark = pytest.mark.pinyon_only


@pytest.fixture
def shelf(configure):
    """`shelf(name, address, ...)`: the cache with the alias `shelf`. The limit is one that a server on a busy machine keeps."""

    def make(name, address, limit=1, **options):
        settings = {"default": {"BACKEND": BACKENDS["memory"]}, "shelf": entry(name, address, limit, **options)}
        return configure(settings)["shelf"]

    return make


def url(name, address):
    return f"redis://{address}" if name == "redis" else address


async def use(cache, who="w"):
    """Operations of all sizes; each checks its answer."""
    large = os.urandom(3 * MIB // 4)
    await cache.aset_many({f"{who}{number}": [who, number] for number in range(100)})
    found = await asyncio.gather(*(cache.aget(f"{who}{number}") for number in range(100)))
    assert found == [[who, number] for number in range(100)]
    await asyncio.gather(*(cache.aset(f"large-{number}", [number, large]) for number in range(5)))
    assert await asyncio.gather(*(cache.aget(f"large-{number}") for number in range(5))) == [
        [number, large] for number in range(5)
    ]
    assert await cache.aget_many([f"{who}1", f"{who}2", "nobody"]) == {f"{who}1": [who, 1], f"{who}2": [who, 2]}


async def outcomes(calls):
    return await asyncio.gather(*calls, return_exceptions=True)


def failures(name, found, kind):
    """The errors among what calls came to, all of that kind.

    After its first error a Memcached server is left alone for a while: who comes then, or tries again, gets a miss.
    """
    if name == "memcached":
        found = [result for result in found if result not in (None, False) and type(result) is not ValueError]
    assert found
    for problem in found:
        assert isinstance(problem, error(kind)), problem
    return found


# --- Every way to a server ---


@pytest.fixture(scope="module")
def guarded(certificates):
    with RedisServer(
        password="open sesame/?#@:", acl_user=("reader", "p4ss"), unix=True, certificates=certificates
    ) as server:
        yield server


@KINDS
@pytest.mark.parametrize("way", ["tls", "unix", "password", "user", "protocol 2", "protocol 3"])
def test_every_way_to_a_redis(kind, way, guarded, certificates, shelf):
    password = {"password": guarded.password}
    address, options = {
        "tls": (guarded.tls_url, {**password, "ssl_ca_certs": certificates.ca}),
        "unix": (f"unix://:{QUOTED}@{guarded.unix_path}?db=3", {}),
        "password": (f"redis://:{QUOTED}@{guarded.address}/1", {}),
        "user": (guarded.url, {"username": "reader", "password": "p4ss"}),
        "protocol 2": (guarded.url, {**password, "protocol": 2}),
        "protocol 3": (guarded.url, {**password, "protocol": 3}),
    }[way]
    before = guarded.accepted()
    run(kind, use, shelf("redis", address, PATIENCE, **options))
    assert opened(guarded, before) == 1
    deserted(guarded)


def test_tls_refuses_an_unknown_authority(guarded, shelf):
    cache = shelf("redis", guarded.tls_url, PATIENCE, password=guarded.password)
    for problem in run("asyncio", outcomes, [cache.aget("key") for _ in range(10)]):
        assert isinstance(problem, error("CacheError"))
        assert "certificate" in str(problem).lower()


@KINDS
def test_a_memcached_behind_a_unix_socket(kind, shelf):
    with MemcachedServer(unix=True) as server:
        run(kind, use, shelf("memcached", f"unix:{server.unix_path}", PATIENCE))


def test_replicas_answer_the_reads(shelf):
    async def both(cache, primary, replica):
        before = primary.accepted(), replica.accepted()
        await cache.aset("key", "value")
        with replica.client() as client:
            wait_until(lambda: client.exists(":1:key"), "the replica to receive the key")
            # The replica's alone, so that one sees who answers; a replica is read-only unless told otherwise.
            client.config_set("replica-read-only", "no")
            client.set(":1:only-here", "5")
        assert await asyncio.gather(*(cache.aget("only-here") for _ in range(50))) == [5] * 50
        assert await cache.aget_many(["only-here", "key"]) == {"only-here": 5, "key": "value"}
        with pytest.raises(ValueError, match="not found"):
            await cache.aincr("only-here")
        assert opened(primary, before[0]) == 1
        # The test's own client is the other one.
        assert opened(replica, before[1]) == 2

    with RedisServer() as primary, RedisServer(replica_of=primary) as replica:
        replica.caught_up()
        run("asyncio", both, shelf("redis", [primary.url, replica.url], PATIENCE), primary, replica)


@KINDS
def test_several_memcached_servers_have_a_connection_each(kind, shelf):
    with ExitStack() as stack:
        three = [stack.enter_context(MemcachedServer()) for _ in range(3)]
        before = [server.accepted() for server in three]
        run(kind, use, shelf("memcached", [server.address for server in three], PATIENCE))
        assert [opened(server, since) for server, since in zip(three, before, strict=True)] == [1, 1, 1]
        for server in three:
            deserted(server)


# --- Servers that are gone, or never were ---


@KINDS
@BOTH
def test_a_server_that_does_not_run_fails_every_call_in_time(kind, name, shelf):
    address = f"{HOST}:{free_port()}"
    cache = shelf(name, url(name, address))
    names = ("aget", "adelete", "atouch", "aincr", "ahas_key")
    found = run(kind, outcomes, [getattr(cache, method)("key") for method in names for _ in range(20)])
    for problem in failures(name, found, "CacheConnectionError"):
        assert problem.alias == "shelf"
        assert address in str(problem)
        assert problem.hint


@KINDS
@BOTH
def test_a_server_that_never_answers_is_given_up_and_a_real_one_in_its_place_is_used(kind, name, shelf):
    async def meet(silent):
        cache = shelf(name, url(name, silent.address))
        with silent:
            found = await outcomes(cache.aget(f"k{number}") for number in range(50))
        for problem in failures(name, found, "CacheTimeoutError"):
            assert silent.address in str(problem)
        server = SERVERS[name]()
        server.port = silent.port
        with server:
            await healthy(cache)
            await use(cache)

    run(kind, meet, ScriptedServer())


@KINDS
@BOTH
@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\xff\xfe garbage\r\n" * 10,
        b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        b"*2147483647\r\n" * 200,
        b"x" * 4_000_000,
    ],
    ids=["garbage", "http", "huge array", "endless line"],
)
def test_a_server_that_speaks_something_else_fails_every_call(kind, name, answer, shelf):
    with ScriptedServer(answer) as stranger:
        cache = shelf(name, url(name, stranger.address))
        for calls in (1, 20):
            found = run(kind, outcomes, [cache.aget(f"k{number}") for number in range(calls)])
            for problem in failures(name, found, "CacheError"):
                assert stranger.address in str(problem)


def test_a_refused_login_is_an_error_without_the_password(guarded, shelf):
    cache = shelf("redis", f"redis://nobody:s3cret@{guarded.address}")
    for problem in run("asyncio", outcomes, [cache.aget("key") for _ in range(20)]):
        assert isinstance(problem, error("CacheAuthError"))
        assert "s3cret" not in repr(problem) + problem.hint
    deserted(guarded)


# --- Servers that fail under way ---


@KINDS
@BOTH
def test_a_server_killed_during_calls_fails_them_all_and_is_used_again(kind, name, shelf):
    async def meet(server):
        # The limit is beyond the patience: only the broken connection can end these calls in time.
        cache = shelf(name, location(name, server), PATIENCE * 4)
        await cache.aset("key", "value")
        server.pause()
        waiting = [asyncio.create_task(cache.aget("key")) for _ in range(50)]
        await asyncio.sleep(0.1)
        server.stop()
        failures(name, await outcomes(waiting), "CacheConnectionError")
        server.start()
        await healthy(cache)

    with SERVERS[name]() as server:
        run(kind, meet, server)


@BOTH
def test_a_server_that_was_restarted_between_two_calls_is_used_again(name, shelf):
    async def meet(server):
        cache = shelf(name, location(name, server), PATIENCE)
        await cache.aset("key", 1)
        server.restart()
        # The old connection is found dead before any reply, and an idempotent call goes out again.
        assert await cache.aget("key", "gone") == "gone"
        await cache.aset("key", 2)
        assert await cache.aget("key") == 2

    with SERVERS[name]() as server:
        run("asyncio", meet, server)


@KINDS
@BOTH
def test_a_late_reply_never_answers_the_next_question(kind, name, shelf):
    async def meet(server):
        cache = shelf(name, location(name, server), 0.2)
        await cache.aset_many({"a": "A", "b": "B"})
        for way in ("limit", "timeout", "cancel") * 2:
            with server.paused():
                late = asyncio.create_task(cache.aget("a"))
                if way == "limit":
                    with pytest.raises(error("CacheTimeoutError")):
                        await late
                elif way == "timeout":
                    with pytest.raises(asyncio.TimeoutError):
                        await asyncio.wait_for(late, 0.02)
                else:
                    await asyncio.sleep(0.02)
                    late.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await late
            await healthy(cache)
            assert await asyncio.gather(*(cache.aget("b") for _ in range(20))) == ["B"] * 20
            assert await cache.aget("missing") is None
            assert await cache.aget_many(["b", "missing"]) == {"b": "B"}
        return await asyncio.to_thread(settled, server)

    with SERVERS[name]() as server:
        assert run(kind, meet, server, patience=PATIENCE * 2) == 1


@BOTH
def test_connection_errors_can_be_ignored(name, shelf):
    option = {"redis": "IGNORE_EXCEPTIONS", "memcached": "ignore_exc"}[name]

    async def meet(server):
        cache = shelf(name, location(name, server), **{option: True})
        server.stop()
        assert await cache.aget("key", "default") == "default"
        assert await cache.aget_many(["key"]) == {}
        assert not await cache.ahas_key("key")
        assert not await cache.aadd("key", 1)
        await cache.aset("key", 1)
        server.start()
        await healthy(cache)

    with SERVERS[name]() as server:
        run("asyncio", meet, server)


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_one_dead_memcached_of_three_does_not_disturb_the_others(how, shelf):
    keys = [f"k{number}" for number in range(60)]

    async def meet(three):
        cache = shelf("memcached", [server.address for server in three], retry_timeout=600)
        assert await cache.aset_many(dict.fromkeys(keys, "old")) == []
        lost = [key for key in keys if three[0].fetch(f":1:{key}")]
        alive = [key for key in keys if key not in lost]
        assert lost and alive
        getattr(three[0], how)()
        found = dict(zip(keys, await outcomes(cache.aget(key) for key in keys), strict=True))
        assert [found[key] for key in alive] == ["old"] * len(alive)
        # The first ones meet the dead server; who comes when it is known to be dead gets a miss.
        problems = [found[key] for key in lost if found[key] is not None]
        assert problems
        assert all(isinstance(problem, error("CacheError")) for problem in problems)
        assert await cache.aget_many(keys) == dict.fromkeys(alive, "old")
        assert sorted(await cache.aset_many(dict.fromkeys(keys, "new"))) == sorted(lost)
        assert await asyncio.gather(*(cache.aget(key) for key in alive)) == ["new"] * len(alive)

    with ExitStack() as stack:
        run("asyncio", meet, [stack.enter_context(MemcachedServer()) for _ in range(3)])


def test_a_stopped_memcached_failed_once_however_many_calls_it_kept_waiting(shelf):
    async def meet(server):
        # Were each of these a failure of its own, the server would be left alone for 20 times what they took: beyond patience.
        cache = shelf("memcached", server.address, 1.5, retry_timeout=0.05)
        await cache.aset("key", "value")
        with server.paused():
            failures("memcached", await outcomes([cache.aget("key") for _ in range(50)]), "CacheTimeoutError")
        await healthy(cache)
        assert await cache.aget("key") == "value"

    with MemcachedServer() as server:
        run("asyncio", meet, server, patience=PATIENCE * 2)


# --- Servers that do not read ---


@contextmanager
def peak_memory():
    """A function that answers by how many bytes this process grew at most since."""
    before = peak = resident_bytes()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, resident_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: peak - before
    finally:
        done.set()
        watcher.join()


@KINDS
@BOTH
@pytest.mark.parametrize("goes_on", [False, True], ids=["stays stopped", "goes on"])
def test_large_values_for_a_server_that_does_not_read_do_not_pile_up(kind, name, goes_on, shelf):
    value = os.urandom(MIB)
    options = {"redis": [], "memcached": ["-I", "4m", "-m", "128"]}[name]
    limit = PATIENCE * 2 if goes_on else 1.5

    async def meet(server):
        cache = shelf(name, location(name, server), limit)
        await cache.aset("key", "value")
        with peak_memory() as growth:
            with server.paused():
                writing = [asyncio.create_task(cache.aset(f"k{number % 4}", value)) for number in range(200)]
                if goes_on:
                    # Long enough for the buffers to fill.
                    await asyncio.sleep(0.5)
                else:
                    # Each call has this limit for itself, however many wait before it.
                    await asyncio.wait(writing, timeout=limit * 4)
                    assert all(task.done() for task in writing)
            found = await outcomes(writing)
            # Those that wait hold the value that they share; what is copied and under way has a limit.
            assert growth() < 150 * MIB
        if goes_on:
            assert set(found) in ({None}, {True})
        else:
            assert all(problem in (None, True) or isinstance(problem, error("CacheError")) for problem in found)
            assert any(isinstance(problem, error("CacheTimeoutError")) for problem in found)
        await healthy(cache)
        await cache.aset("last", value)
        assert await cache.aget("last") == value
        return await asyncio.to_thread(settled, server)

    with SERVERS[name](*options) as server:
        assert run(kind, meet, server, patience=PATIENCE * 4) == 1


@BOTH
def test_a_stopped_server_does_not_stop_the_loop(name, shelf):
    async def meet(server):
        cache = shelf(name, location(name, server), PATIENCE * 4)
        await cache.aset("key", "value")
        with server.paused():
            writing = [asyncio.create_task(cache.aset("key", bytes(MIB // 2))) for _ in range(30)]
            start, ticks = time.monotonic(), 0
            while time.monotonic() - start < 0.5:
                await asyncio.sleep(0.001)
                ticks += 1
            assert not any(task.done() for task in writing[-5:])
        # A loop that was blocked until the server went on had made one or two.
        assert ticks > 20
        assert {*await outcomes(writing)} in ({None}, {True})

    with SERVERS[name]() as server:
        run("asyncio", meet, server)
