"""The tests that cannot apply to Pinyon, each with its reason.

Keys are `<TestCase class>.<method>`. Nothing else may fail, err or skip; an entry that names no loaded test
is an error too, so that the lists cannot outlive their reason. A backend that is not here excludes none.
"""

import django

_CULL = "the server evicts by itself; Django's tests skip culling on this backend"
_NO_CLIENT = "looks at the redis-py client inside Django's backend; Pinyon has none"
_NO_LIBRARY = "looks at the pymemcache client inside Django's backend; Pinyon has none"
_BUILTIN_OPEN = "replaces Python's open(); Pinyon reads files in Rust. Held by test_file.py instead"
_OWN_CLOCK = (
    "sets Python's clock forward; Pinyon reads the system's. Held by the conformance suite with real time instead"
)
_EXPIRE_INFO = "reads LocMemCache's private _expire_info; a server or a file keeps the expiry itself"
_POLICY = "tests which entries leave with Django's policy, and how many; this is another one"
_NO_QUERIES = "counts the queries of a session and expects none of the cache"
_READS_DELETE = (
    "expects get_many to delete the expired rows that it meets; Pinyon's reads write nothing (test_database.py)"
)

# What Django itself skips, also on its own backends.
SKIPPED_BY_DJANGO = {
    "redis": {
        "RedisCacheTests.test_cull": _CULL,
        "RedisCacheTests.test_zero_cull": _CULL,
        "RedisCacheTests.test_cull_delete_when_store_empty": _CULL,
    },
    "memcached": {
        "PyMemcacheCacheTests.test_cull": _CULL,
        "PyMemcacheCacheTests.test_zero_cull": _CULL,
        "PyMemcacheCacheTests.test_cull_delete_when_store_empty": _CULL,
    },
    "db": {},
}

# What no class can do on this backend; not run.
IMPOSSIBLE = {
    "file": {
        "DefaultNonExpiringCacheKeyTests.test_caches_with_unset_timeout_set_expiring_key": _EXPIRE_INFO,
        "DefaultNonExpiringCacheKeyTests.test_caches_set_with_timeout_as_none_set_non_expiring_key": _EXPIRE_INFO,
    },
    "redis": {
        "DefaultNonExpiringCacheKeyTests.test_caches_with_unset_timeout_set_expiring_key": _EXPIRE_INFO,
        "DefaultNonExpiringCacheKeyTests.test_caches_set_with_timeout_as_none_set_non_expiring_key": _EXPIRE_INFO,
    },
    "memcached": {
        "DefaultNonExpiringCacheKeyTests.test_caches_with_unset_timeout_set_expiring_key": _EXPIRE_INFO,
        "DefaultNonExpiringCacheKeyTests.test_caches_set_with_timeout_as_none_set_non_expiring_key": _EXPIRE_INFO,
        "DefaultNonExpiringCacheKeyTests.test_caches_set_with_timeout_as_none_has_correct_default_timeout": (
            "expects None where Django's memcached backends answer 0, the protocol's word for never"
        ),
        "CustomCacheKeyValidationTests.test_custom_key_validation": "a key of 300 bytes with blanks: the protocol has none",
    },
    "db": {
        "DefaultNonExpiringCacheKeyTests.test_caches_with_unset_timeout_set_expiring_key": _EXPIRE_INFO,
        "DefaultNonExpiringCacheKeyTests.test_caches_set_with_timeout_as_none_set_non_expiring_key": _EXPIRE_INFO,
        "CacheDBSessionTests.test_exists_searches_cache_first": _NO_QUERIES,
        "CacheDBSessionWithTimeZoneTests.test_exists_searches_cache_first": _NO_QUERIES,
        "CacheMiddlewareTest.test_cache_control_max_age": (
            "sets time.time to 2016 but not datetime.now, by which Django's own database cache sees what has expired"
        ),
    },
}

# What only Pinyon excludes.
EXCLUSIONS = {
    "locmem-tinylfu": {
        "LocMemCacheTests.test_cull": _POLICY,
        "LocMemCacheTests.test_zero_cull": _POLICY,
        "LocMemCacheTests.test_lru_get": _POLICY,
        "LocMemCacheTests.test_lru_incr": _POLICY,
        "LocMemCacheTests.test_lru_set": _POLICY,
    },
    "file": {
        "FileBasedCacheTests.test_get_does_not_ignore_non_filenotfound_exceptions": _BUILTIN_OPEN,
        "FileBasedCacheTests.test_has_key_race_handling": _BUILTIN_OPEN,
        "FileBasedCacheTests.test_touch": _OWN_CLOCK,
        "FileBasedCachePathLibTests.test_touch": _OWN_CLOCK,
        "FileBasedCachePathLibTests.test_get_does_not_ignore_non_filenotfound_exceptions": _BUILTIN_OPEN,
        "FileBasedCachePathLibTests.test_has_key_race_handling": _BUILTIN_OPEN,
    },
    "redis": {
        "RedisCacheTests.test_incr_write_connection": _NO_CLIENT,
        "RedisCacheTests.test_cache_client_class": _NO_CLIENT,
        "RedisCacheTests.test_get_connection_pool_index": _NO_CLIENT,
        "RedisCacheTests.test_get_connection_pool": _NO_CLIENT,
        "RedisCacheTests.test_get_client": _NO_CLIENT,
        "RedisCacheTests.test_serializer_dumps": _NO_CLIENT,
        "RedisCacheTests.test_redis_pool_options": _NO_CLIENT,
    },
    "memcached": {
        "PyMemcacheCacheTests.test_close": "expects the connections to close with each request; Pinyon keeps them",
        "PyMemcacheCacheTests.test_set_many_returns_failing_keys": _NO_LIBRARY,
        "PyMemcacheCacheTests.test_pymemcache_highest_pickle_version": _NO_LIBRARY,
        "PyMemcacheCacheTests.test_pymemcache_options": _NO_LIBRARY,
    },
    "db": {
        "DBCacheTests.test_get_many_num_queries": _READS_DELETE,
        "DBCacheWithTimeZoneTests.test_get_many_num_queries": _READS_DELETE,
    },
}
# With an ordinary database cache these see a locked table: the test's transaction is open in another thread.
for _case in "CacheDBSessionTests", "CacheDBSessionWithTimeZoneTests":
    for _test in (
        "actual_expiry_async",
        "cache_async_set_failure_non_fatal",
        "cycle_async",
        "cycle_with_no_session_cache_async",
        "delete_async",
        "flush_async",
        "invalid_key_async",
        "save_async",
        "save_doesnt_clear_data_async",
        "session_asave_does_not_resurrect_session_logged_out_in_other_context",
    ):
        IMPOSSIBLE["db"][f"{_case}.test_{_test}"] = "calls the cache from a coroutine without awaiting: no database can"
if django.VERSION >= (6, 1):
    EXCLUSIONS["redis"]["RedisCacheTests.test_client_driver_info"] = _NO_CLIENT
SKIPPED_BY_DJANGO["redis-cluster"], EXCLUSIONS["redis-cluster"] = SKIPPED_BY_DJANGO["redis"], EXCLUSIONS["redis"]

# The same tests by the a* methods. Only what is of the backend's own tests can be excluded there.
_FROM_A_LOOP = "pickles a queryset in the coroutine, where Django allows no query"
_PATCHES_CLASS = "replaces the method of a class that only passes calls on. Held by test_single_flight.py instead"
_OWN_TESTS = {
    "locmem": ["LocMemCacheTests"],
    "redis": ["RedisCacheTests"],
    "memcached": ["PyMemcacheCacheTests"],
    "file": ["FileBasedCacheTests", "FileBasedCachePathLibTests"],
    "db": ["DBCacheTests", "DBCacheWithTimeZoneTests"],
}
for _backend, _cases in _OWN_TESTS.items():
    SKIPPED_BY_DJANGO[f"{_backend}-async"] = SKIPPED_BY_DJANGO.get(_backend, {})
    _excluded = EXCLUSIONS[f"{_backend}-async"] = dict(EXCLUSIONS.get(_backend, {}))
    for _case in _cases:
        _excluded[f"{_case}.test_get_or_set_racing"] = _PATCHES_CLASS
        if _backend != "db":
            _excluded[f"{_case}.test_cache_read_for_model_instance_with_deferred"] = _FROM_A_LOOP
            _excluded[f"{_case}.test_cache_write_for_model_instance_with_deferred"] = _FROM_A_LOOP
