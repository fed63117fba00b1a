"""Threads, fork, gunicorn with preload, and Ctrl-C."""

import ctypes
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from backends import FACE
from django.core.cache import caches
from django.core.signals import request_finished
from loops import settled
from servers import HOST, PATIENCE, free_port, wait_until

HERE = Path(__file__).parent
THREADS = 16
SERVED = pytest.mark.parametrize("name", ["redis", "memcached"])
# Locks of a test's own threads are what these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def in_threads(count, work):
    """Run `work(number)` in that many threads at once; the first exception is raised here."""
    start = threading.Barrier(count)

    def begin(number):
        start.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


def mix(cache, who, rounds):
    """Operations whose answers only this caller can have written."""
    for number in range(rounds):
        cache.set(f"own-{who}", [who, number])
        assert cache.get(f"own-{who}") == [who, number]
        assert cache.get_many([f"own-{who}", "nobody"]) == {f"own-{who}": [who, number]}
        cache.incr("total")
    return True


def test_sixteen_threads_on_one_alias(name, cache):
    if FACE == "incumbent" and name == "database":
        pytest.skip(
            "Django's reads before it writes, which SQLite refuses at once if another writes; the write is lost"
        )
    cache.set("total", 0)
    assert all(in_threads(THREADS, lambda number: mix(caches["default"], number, 100)))
    assert cache.get("total") == THREADS * 100


@pytest.mark.pinyon_only
def test_sixteen_threads_on_one_object(cache):
    cache.set("total", 0)
    assert all(in_threads(THREADS, lambda number: mix(cache, number, 100)))
    assert cache.get("total") == THREADS * 100


@pytest.mark.pinyon_only
@SERVED
def test_threads_share_connections(name, params, configure, request):
    server = request.getfixturevalue(f"{name}_server")
    configure({"default": params(name)})["default"].set("total", 0)
    before = server.connections()
    for _ in range(5):
        in_threads(4, lambda number: mix(caches["default"], number, 5))
    # Five generations of four threads leave no more connections than were ever needed at once.
    assert server.connections() <= before + 4


def in_child(work, fork=os.fork):
    """Fork; the child runs `work` and ends. Its pid; failures show in the exit status."""
    pid = fork()
    if pid:
        return pid
    status = 1
    try:
        signal.alarm(int(PATIENCE))
        work()
        status = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)


def ended_well(pid):
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == 0


@pytest.fixture
def forking(name, cache):
    if FACE == "incumbent" and name == "memcached":
        pytest.skip("pymemcache shares its sockets with a forked child")
    if name == "database":
        pytest.skip("Django's connections, which this cache works on, are not for a forked child")
    cache.set("total", 0)
    return cache


def test_parent_and_child_use_connections_opened_before_the_fork(name, forking):
    cache = forking
    mix(cache, "before", 5)
    for generation in range(3):
        child = in_child(lambda: mix(cache, f"child-{generation}", 200))
        mix(cache, f"parent-{generation}", 200)
        assert ended_well(child)
    mix(cache, "after", 5)
    if name != "memory":
        assert cache.get("total") == 10 + 3 * 400
        assert cache.get("own-child-2") == ["child-2", 199]


@pytest.mark.pinyon_only
def test_a_fork_that_python_is_not_told_of_is_noticed(forking):
    cache = forking
    mix(cache, "before", 5)
    # As an embedding server's own code does it: none of Python's handlers run.
    child = in_child(lambda: mix(cache, "child", 200), fork=ctypes.PyDLL(None).fork)
    mix(cache, "parent", 200)
    assert ended_well(child)


@SERVED
def test_a_child_leaves_its_parents_connections_alone(name, params, configure, request):
    if FACE == "incumbent" and name == "memcached":
        pytest.skip("pymemcache shares its sockets with a forked child")
    server = request.getfixturevalue(f"{name}_server")
    cache = configure({"default": params(name)})["default"]
    cache.set("total", 0)
    connected = settled(server)
    ready, inspected = os.pipe(), os.pipe()

    def child():
        mix(cache, "child", 20)
        os.write(ready[1], b"!")
        os.read(inspected[0], 1)
        caches.close_all()
        request_finished.send(sender=None)
        mix(caches["default"], "child", 20)

    pid = in_child(child)
    os.read(ready[0], 1)
    # The child talks over a connection of its own.
    assert server.connections() == connected + 1
    os.write(inspected[1], b"!")
    assert ended_well(pid)
    wait_until(lambda: server.connections() == connected, "the child's connection to close")
    mix(cache, "parent", 20)
    assert server.connections() == connected
    for end in (*ready, *inspected):
        os.close(end)


def test_a_grandchild_works_too(forking):
    cache = forking
    mix(cache, "parent", 5)

    def child():
        grandchild = in_child(lambda: mix(cache, "grandchild", 50))
        mix(cache, "child", 50)
        assert ended_well(grandchild)

    pid = in_child(child)
    mix(cache, "parent", 50)
    assert ended_well(pid)


@pytest.mark.pinyon_only
def test_forking_while_other_threads_are_busy(forking):
    cache = forking
    done = threading.Event()

    def busy(number):
        while not done.is_set():
            mix(cache, f"busy-{number}", 1)

    threads = [threading.Thread(target=busy, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(20):
            assert ended_well(in_child(lambda: mix(cache, f"child-{number}", 5)))
    finally:
        done.set()
        for thread in threads:
            thread.join()


@pytest.mark.slow
def test_gunicorn_with_preload(params, redis_server, memcached_server, tmp_path):
    setting = {name: params(name) for name in ("memory", "redis", "memcached", "file")}
    setting["default"] = setting["memory"]
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers", "2", "--threads", "4"]
    command += ["--worker-class", "gthread", "--bind", f"{HOST}:{port}", "--chdir", str(HERE), "site_app:application"]
    environment = {**os.environ, "SITE_CACHES": json.dumps(setting)}
    connected = redis_server.connections()
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def ask(path):
        with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=PATIENCE) as response:
            return json.load(response)

    def up():
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            return bool(ask("/"))
        except OSError:
            return False

    try:
        wait_until(up, "gunicorn")
        before = ask("/")
        with ThreadPoolExecutor(8) as pool:
            wait_until(lambda: len({a["pid"] for a in pool.map(ask, ["/"] * 8)}) == 2, "both workers to answer")
            answers = list(pool.map(lambda _: ask("/count"), range(200)))
        assert all(answer["fine"] for answer in answers)
        assert process.pid not in {answer["pid"] for answer in answers}
        after = ask("/")
        # Django's own incr on files is not atomic.
        for name in ("redis", "memcached", *(["file"] if FACE == "pinyon" else [])):
            assert after["totals"][name] - before["totals"][name] == 200
            # What the master stored before it forked is seen by all.
            assert all(answer["preloaded"][name] == ["by the master"] for answer in answers)
        assert all(answer["preloaded"]["memory"] == ["by the master"] for answer in answers)
        if FACE == "pinyon":
            # One of the master, and at most one for each thread that was ever busy at once.
            assert redis_server.connections() - connected <= 1 + 2 * 4
    finally:
        process.terminate()
        process.wait(PATIENCE)
    assert "Traceback" not in (tmp_path / "log").read_text()


class Caller:
    """A process that runs blocking_call.py against a server that the test can pause."""

    def __init__(self, entry):
        command = [sys.executable, str(HERE / "blocking_call.py"), json.dumps({"default": entry})]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.strip())

    def expect(self, wanted):
        try:
            line = self.lines.get(timeout=PATIENCE)
        except queue.Empty:
            raise AssertionError(f"waited in vain for {wanted!r}") from None
        assert line == wanted

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def caller(name, params):
    # The limit is far beyond the patience: a call that only ends by its limit fails the test.
    options = {"redis": {"socket_timeout": 600}, "memcached": {"timeout": 600}}[name]
    process = Caller(params(name, OPTIONS=options))
    yield process
    process.end()


@SERVED
def test_ctrl_c_ends_a_blocked_call(name, caller, request):
    if FACE == "incumbent" and name == "memcached":
        pytest.skip("pymemcache keeps the interrupted connection and trips over the late answer")
    server = request.getfixturevalue(f"{name}_server")
    caller.expect("ready")
    with server.paused():
        caller.go_on()
        caller.expect("calling")
        # Long enough to be inside the call; too short only means that the signal comes just before it.
        time.sleep(0.3)
        caller.process.send_signal(signal.SIGINT)
        caller.expect("KeyboardInterrupt")
    caller.go_on()
    # The late answer to the interrupted question must not be taken for this one's.
    caller.expect("second")


@SERVED
def test_a_signal_that_is_handled_does_not_disturb_a_call(name, caller, request):
    server = request.getfixturevalue(f"{name}_server")
    caller.expect("ready")
    with server.paused():
        caller.go_on()
        caller.expect("calling")
        for _ in range(5):
            time.sleep(0.05)
            caller.process.send_signal(signal.SIGUSR1)
    caller.expect("first")
    caller.go_on()
    caller.expect("second")
