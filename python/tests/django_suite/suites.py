"""Which backends are put under Django's own tests, and with which of them. A new backend is one entry of SUITES."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Suite:
    """`pinyon` stands in for `builtin`; `own` are Django's tests of this very backend.

    With `stores`, the backend also runs everything in COMMON, in the place of LocMemCache. With `pages`, Pinyon's page cache
    takes the place of Django's.
    """

    builtin: str
    pinyon: str
    own: tuple[str, ...]
    stores: bool = True
    pages: bool = False
    #: What kind of place the backend needs, if not that of its name here.
    place: str = ""

    def by_its_async_methods(self, name):
        """The backend's own tests, with each method answered by its `a*` twin."""
        path = f"django_suite.async_face.{self.pinyon.rpartition('.')[2]}"
        return replace(self, pinyon=path, stores=False, place=name)

    @property
    def labels(self):
        return [*self.own, *(COMMON if self.stores else ())]


# cache_page, UpdateCacheMiddleware, FetchFromCacheMiddleware
PAGES = (
    "cache.tests.CacheUtils",
    "cache.tests.PrefixedCacheUtils",
    "cache.tests.CacheHEADTest",
    "cache.tests.CacheI18nTest",
    "cache.tests.PrefixedCacheI18nTest",
    "cache.tests.CacheMiddlewareTest",
    "cache.tests.TestWithTemplateResponse",
)
# Run with every backend in the place of LocMemCache: what Django has around a cache.
COMMON = (
    *PAGES,
    "cache.tests.TestMakeTemplateFragmentKey",
    "cache.tests.CacheHandlerTest",
    "cache.tests.CustomCacheKeyValidationTests",
    "cache.tests.CacheClosingTests",
    "cache.tests.DefaultNonExpiringCacheKeyTests",
    "cache.tests_async.AsyncDummyCacheTests",
    # {% cache %}
    "template_tests.syntax_tests.test_cache",
    "sessions_tests.tests.CacheSessionTests",
    "sessions_tests.tests.CacheDBSessionTests",
    "sessions_tests.tests.CacheDBSessionWithTimeZoneTests",
    "django_suite.message_sessions.CacheSessionMessageTests",
    "django_suite.message_sessions.CacheDBSessionMessageTests",
)

SUITES = {
    "locmem": Suite(
        "django.core.cache.backends.locmem.LocMemCache",
        "pinyon.django.LocMemCache",
        ("cache.tests.LocMemCacheTests",),
    ),
    "locmem-tinylfu": Suite(
        "django.core.cache.backends.locmem.LocMemCache",
        "django_suite.policies.TinyLfuLocMemCache",
        ("cache.tests.LocMemCacheTests",),
    ),
    "redis": Suite(
        "django.core.cache.backends.redis.RedisCache",
        "pinyon.django.RedisCache",
        ("cache.tests.RedisCacheTests",),
    ),
    # A cluster has no databases that would keep the caches of the other tests apart.
    "redis-cluster": Suite(
        "django.core.cache.backends.redis.RedisCache",
        "django_suite.cluster_face.RedisCache",
        ("cache.tests.RedisCacheTests",),
        stores=False,
    ),
    "memcached": Suite(
        "django.core.cache.backends.memcached.PyMemcacheCache",
        "pinyon.django.MemcachedCache",
        ("cache.tests.PyMemcacheCacheTests",),
    ),
    "file": Suite(
        "django.core.cache.backends.filebased.FileBasedCache",
        "pinyon.django.FileBasedCache",
        ("cache.tests.FileBasedCacheTests", "cache.tests.FileBasedCachePathLibTests"),
    ),
    "db": Suite(
        "django.core.cache.backends.db.DatabaseCache",
        "pinyon.django.DatabaseCache",
        (
            "cache.tests.DBCacheTests",
            "cache.tests.DBCacheWithTimeZoneTests",
            "cache.tests.CreateCacheTableForDBCacheTests",
        ),
    ),
    "dummy": Suite(
        "django.core.cache.backends.dummy.DummyCache",
        "pinyon.django.DummyCache",
        (
            "cache.tests.DummyCacheTests",
            "cache.tests_async.AsyncDummyCacheTests",
            # The database has them.
            "django_suite.message_sessions.CacheDBSessionMessageTests",
        ),
        stores=False,
    ),
    # cache_page and the three middlewares, with process memory behind them.
    "pages": Suite(
        "django.core.cache.backends.locmem.LocMemCache",
        "pinyon.django.LocMemCache",
        (
            *PAGES,
            "decorators.test_cache.CachePageDecoratorTest",
            "deprecation.test_middleware_mixin.MiddlewareMixinTests",
            "template_tests.test_response.CacheMiddlewareTest",
        ),
        stores=False,
        pages=True,
    ),
}

SUITES |= {
    f"{name}-async": SUITES[name].by_its_async_methods(name) for name in ("locmem", "redis", "memcached", "file", "db")
}
