"""Run Django's own cache tests on one backend.

    python python/tests/django_suite/run.py --backend locmem|locmem-tinylfu|redis|memcached|file|db|dummy|pages|redis-async|… [--class PATH] [NAME ...]

The tests of the installed Django version are taken from its source distribution. Servers are started here.
`--class` puts any other backend class under test; with the built-in one this proves the runner itself:

    ... run.py --backend redis --class django.core.cache.backends.redis.RedisCache

NAME picks tests whose id contains it. Exit status 1: a failure, an error, or a skip that is not in the lists of
exclusions.py.
"""

import argparse
import contextlib
import os
import sys
import tempfile
import time
import unittest
import warnings
from pathlib import Path

HERE = Path(__file__).parent
sys.path[0] = str(HERE.parent)

from clusters import RedisCluster  # noqa: E402
from servers import MemcachedServer, RedisServer  # noqa: E402

from django_suite import exclusions, source  # noqa: E402
from django_suite.substitution import Substitution, replace_pages  # noqa: E402
from django_suite.suites import SUITES  # noqa: E402


@contextlib.contextmanager
def places(backend):
    """Separate LOCATIONs for the backend; the first is the default one. None for process memory."""
    with contextlib.ExitStack() as stack:
        if backend == "redis":
            server = stack.enter_context(RedisServer())
            # The first names no database: in a URL it would win over the OPTIONS that one test sets.
            yield [server.url, *(f"{server.url}/{database}" for database in range(1, 8))]
        elif backend == "redis-cluster":
            yield [stack.enter_context(RedisCluster()).location]
        elif backend == "memcached":
            yield [stack.enter_context(MemcachedServer()).address for _ in range(5)]
        elif backend == "file":
            yield [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(12)]
        elif backend == "db":
            yield [f"cache_{number}" for number in range(6)]
        else:
            yield None


def sleep_past_the_last_millisecond():
    """Have the tests sleep 5 ms longer: an entry of Redis lives through the millisecond in which it expires.

    A test that stores for one second, sleeps for one second and looks again finds it there, if both calls are quick enough.
    """
    sleep = time.sleep
    time.sleep = lambda seconds: sleep(seconds + 0.005)


def configure(backend, path, locations):
    """Django with its own test packages, and `path` in the place of its backends."""
    tests = str(source.tests_directory())
    sys.path.insert(0, tests)
    os.chdir(tests)
    os.environ["DJANGO_SETTINGS_MODULE"] = "django_suite.suite_settings"
    os.environ["RUNNING_DJANGOS_TEST_SUITE"] = "true"
    if backend.startswith("db"):
        # The session tests call the cache from coroutines without awaiting, which Django forbids for databases.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    if backend.startswith("redis"):
        sleep_past_the_last_millisecond()
    # As Django's own runner: careless use of a resource or an invalid key is an error.
    warnings.simplefilter("error", ResourceWarning)
    warnings.simplefilter("error", RuntimeWarning)

    from django.conf import settings

    default = {"BACKEND": SUITES[backend].builtin}
    if locations:
        default["LOCATION"] = locations[0]
    # The test modules look for the built-in path here when they are imported, to see what is available.
    settings.CACHES = {"default": default}
    import django

    django.setup()
    substitution = Substitution(path, backend, locations)
    substitution.install()
    if SUITES[backend].pages and path != SUITES[backend].builtin:
        replace_pages()
    import cache.tests

    if path != SUITES[backend].builtin:
        # Pinyon raises NotAnIntegerError, a TypeError, as LocMemCache does, on every backend.
        cache.tests.RedisCacheTests.incr_decr_type_error = TypeError
        cache.tests.PyMemcacheCacheTests.incr_decr_type_error = TypeError
    settings.CACHES = substitution.caches(settings.CACHES)
    from django.core.cache import caches
    from django.test.signals import clear_cache_handlers

    clear_cache_handlers(setting="CACHES")
    assert caches.settings["default"]["BACKEND"] == path


def create_tables(tables):
    """Give every LOCATION of a database cache its table, and leave to use it those tests that use no database otherwise."""
    from django.core.management import call_command
    from django.test import SimpleTestCase

    call_command("createcachetable", *tables, verbosity=0)
    SimpleTestCase.databases = {"default"}


def short_id(test):
    return ".".join(test.id().split(".")[-2:])


def flatten(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from flatten(test)
        else:
            yield test


def run(backend, path, locations, names, verbosity):
    from django.test.runner import DiscoverRunner

    excluded = dict(exclusions.IMPOSSIBLE.get(backend, {}))
    if path != SUITES[backend].builtin:
        excluded.update(exclusions.EXCLUSIONS.get(backend, {}))
    skippable = exclusions.SKIPPED_BY_DJANGO.get(backend, {})
    runner = DiscoverRunner(verbosity=verbosity, interactive=False)
    runner.setup_test_environment()
    found = list(flatten(runner.build_suite(SUITES[backend].labels)))
    unknown = sorted((excluded.keys() | skippable.keys()) - {short_id(test) for test in found})
    chosen = [test for test in found if short_id(test) not in excluded]
    if names:
        chosen = [test for test in chosen if any(name in test.id() for name in names)]
    suite = runner.test_suite(chosen)
    databases = runner.get_databases(suite)
    old = runner.setup_databases(aliases=databases, serialized_aliases=set())
    try:
        if backend.startswith("db"):
            create_tables(locations)
        result = runner.run_suite(suite)
    finally:
        runner.teardown_databases(old)
        runner.teardown_test_environment()
    surprising = [(test, why) for test, why in result.skipped if short_id(test) not in skippable]
    report(path, result, excluded, skippable, surprising, unknown)
    return result.wasSuccessful() and not surprising and not unknown and result.testsRun > 0


def report(path, result, excluded, skippable, surprising, unknown):
    import django

    print(f"\n{path} on Django {django.get_version()}, Python {sys.version.split()[0]}")
    print(f"  run {result.testsRun}, failed {len(result.failures)}, errors {len(result.errors)}, ", end="")
    print(f"skipped {len(result.skipped)}, excluded {len(excluded)}")
    for name, reason in sorted(excluded.items()):
        print(f"  excluded {name}: {reason}")
    for test, _ in result.skipped:
        if short_id(test) in skippable:
            print(f"  skipped {short_id(test)}: {skippable[short_id(test)]}")
    for test, why in surprising:
        print(f"  NOT ALLOWED TO SKIP {test.id()}: {why}")
    for name in unknown:
        print(f"  EXCLUSION OF NO TEST {name}")
    for test, _ in result.failures + result.errors + [(test, "") for test in result.unexpectedSuccesses]:
        print(f"  FAILED {test.id()}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=sorted(SUITES), required=True)
    parser.add_argument("--class", dest="path", help="the backend class to test; default Pinyon's")
    parser.add_argument("-v", "--verbosity", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    path = options.path or SUITES[options.backend].pinyon
    with places(SUITES[options.backend].place or options.backend) as locations:
        configure(options.backend, path, locations)
        return 0 if run(options.backend, path, locations, options.names, options.verbosity) else 1


if __name__ == "__main__":
    sys.exit(main())
