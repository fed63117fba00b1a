"""What files alone have: the directory, culling, faults of the disk, several processes."""

import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import backends
import pytest


@pytest.fixture
def files(params, configure):
    def make(**options):
        return configure({"default": params("file", OPTIONS=options)})["default"]

    return make


def names(cache, suffix):
    return [name for name in os.listdir(cache._dir) if name.endswith(suffix)]


def test_location_may_be_a_path_a_str_or_relative(configure, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    backend = backends.BACKENDS["file"]
    for location in tmp_path / "cache", str(tmp_path / "cache"), "cache":
        cache = configure({"default": {"BACKEND": backend, "LOCATION": location}})["default"]
        assert cache._dir == str(tmp_path / "cache")
        assert cache.get_or_set("key", "value") == "value"
    assert len(names(cache, ".djcache")) == 1


@pytest.mark.parametrize(("frequency", "left"), [(3, 29), (2, 29), (0, 19)])
def test_culling_leaves_djangos_numbers(files, frequency, left):
    cache = files(MAX_ENTRIES=30, CULL_FREQUENCY=frequency)
    for number in range(49):
        cache.set(f"k{number}", "v")
    if frequency == 2:
        left = 49 - 2 * 15  # culled at 30 files, and at 30 again
    assert len(cache._list_cache_files()) == left


@pytest.mark.pinyon_only
def test_the_directory_is_not_listed_with_each_set(files):
    cache = files(MAX_ENTRIES=1000)
    cache.set("first", 1)
    for number in range(20):
        Path(cache._dir, f"{number:032x}.djcache").touch()
    cache.set("second", 1)
    assert len(cache._list_cache_files()) == 22, "expired files are removed when the directory is listed for culling"
    assert cache.stats()["errors"] == 0


@pytest.mark.pinyon_only
def test_max_bytes_bounds_the_directory(files):
    cache = files(MAX_BYTES=50_000)
    for number in range(100):
        cache.set(f"k{number}", os.urandom(2000))
        assert sum(os.path.getsize(path) for path in cache._list_cache_files()) <= 50_000
        assert cache.has_key(f"k{number}")
    assert cache.set_many({"huge": os.urandom(60_000), "small": 1}) == ["huge"]
    assert not cache.has_key("huge")


@pytest.mark.pinyon_only
def test_incr_keeps_the_timeout_and_names_the_callers_key(files):
    cache = files()
    with pytest.raises(ValueError, match=r"^Key 'missing' not found$"):
        cache.incr("missing")
    cache.set("n", 2**70, 5000)
    assert cache.incr("n") == 2**70 + 1
    assert 4900 < cache.ttl("n") <= 5000
    cache.set("text", "a")
    with pytest.raises(TypeError):
        cache.incr("text")


@pytest.mark.pinyon_only
def test_a_directory_in_the_place_of_a_file_is_an_oserror(files):
    cache = files()
    cache.set("other", 1)
    os.mkdir(cache._key_to_file("key"))
    for operation in (lambda: cache.get("key"), lambda: cache.set("key", 1), lambda: cache.has_key("key")):
        with pytest.raises(OSError, match=r"cache 'default'.*A directory lies where") as caught:
            operation()
        assert isinstance(caught.value, backends.error("CacheFileError"))
        assert caught.value.server == cache._dir
    assert names(cache, ".tmp") == []


def test_a_file_that_vanishes_is_a_miss(files):
    cache = files()
    cache.set("key", 1)
    os.remove(cache._key_to_file("key"))
    assert cache.has_key("key") is False
    assert cache.get("key", "default") == "default"


# Run in a process of their own, because there is no way back.
FULL_DISK = """
import resource
# Stands for a full disk: no file may have more bytes, and Python ignores the signal.
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
"""
READ_ONLY = """
os.chmod(cache._dir, 0o500)
if os.getuid() == 0:
    for name in [".", *os.listdir(cache._dir)]:
        os.chown(os.path.join(cache._dir, name), 65534, 65534)
    os.setuid(65534)
"""
BEFORE = """
import os, sys
from django.conf import settings
settings.configure(CACHES={"default": {"BACKEND": "pinyon.django.FileBasedCache", "LOCATION": sys.argv[1]}})
import pinyon
from django.core.cache import cache
cache.set("key", "old")
"""
AFTER = """
for operation, key in (cache.set, "key"), (cache.add, "new"):
    try:
        operation(key, os.urandom(20_000))
    except pinyon.CacheFileError as error:
        print(error)
print(cache.get("key"), [name for name in os.listdir(cache._dir) if name.endswith(".tmp")])
"""


@pytest.mark.pinyon_only
@pytest.mark.parametrize(
    ("fault", "complaint", "left"),
    [(FULL_DISK, "File too large", "None []"), (READ_ONLY, "the right to read and write", "old []")],
    ids=["full disk", "read-only directory"],
)
def test_a_disk_that_refuses_is_an_error_and_leaves_no_temporary_file(fault, complaint, left):
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        command = [sys.executable, "-c", BEFORE + fault + AFTER, os.path.join(root, "cache")]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    *errors, last = done.stdout.splitlines() or [""]
    assert last == left, done.stderr
    assert len(errors) == 2 and all(complaint in error for error in errors)


def _count(location, rounds):
    from django.core.cache import caches
    from django.test import override_settings

    entry = {"BACKEND": backends.BACKENDS["file"], "LOCATION": location, "TIMEOUT": None}
    with override_settings(CACHES={"default": entry}):
        cache = caches["default"]
        won = sum(cache.add(f"add-{number}", 1) for number in range(rounds))
        for _ in range(rounds):
            cache.incr("n")
    return won


@pytest.mark.pinyon_only
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_add_and_incr_are_atomic_between_processes(files, method):
    cache = files(MAX_ENTRIES=10_000)
    cache.set("n", 0, None)
    with ProcessPoolExecutor(3, mp_context=get_context(method), initializer=_set_up) as pool:
        won = list(pool.map(_count, [cache._dir] * 3, [200] * 3))
    assert sum(won) == 200
    assert cache.get("n") == 600


def _set_up():
    import conftest  # noqa: F401  Django's settings, where the process does not have them by fork
