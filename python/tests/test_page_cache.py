"""The page cache: Django's pages and rules, without a thread in async code, one rendering for many, stale pages meanwhile.

Django's own tests of its page cache run on it in test_django_suite.py.
"""

import asyncio
import gc
import inspect
import itertools
import threading
import time

import backends
import pytest
from asgiref.sync import SyncToAsync
from django.http import HttpResponse, StreamingHttpResponse
from django.middleware import cache as django_pages
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, AsyncRequestFactory, RequestFactory, override_settings
from django.urls import path
from django.views.decorators.cache import cache_page as django_cache_page
from together import LIMIT, Thread, auntil, run, until, waiting

pytestmark = pytest.mark.pinyon_only
if backends.FACE == "pinyon":
    from pinyon.django import cache_page, middleware, single_flight

_stores = itertools.count()
KINDS = ["sync", "async"]


@pytest.fixture(autouse=True)
def site():
    with override_settings(ALLOWED_HOSTS=["testserver"], ROOT_URLCONF=__name__, USE_I18N=True, TEMPLATES=TEMPLATES):
        yield
    assert single_flight._flights == {}


@pytest.fixture(autouse=True)
def cache(configure):
    return configure(
        {
            "default": {"BACKEND": "pinyon.django.LocMemCache", "LOCATION": f"pages-{next(_stores)}"},
            "django": {"BACKEND": backends.INCUMBENT["memory"], "LOCATION": f"pages-{next(_stores)}"},
        }
    )["default"]


TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]


def get(url="/", method="get", asynchronous=False, **headers):
    factory = AsyncRequestFactory() if asynchronous else RequestFactory()
    return getattr(factory, method)(url, headers=headers)


def text(response):
    return response.content.decode()


class Site:
    """A view that counts; `make(number)` says what it answers. `ask()` from as many threads or tasks as there are headers."""

    def __init__(self, kind, make=lambda number: HttpResponse(f"page {number}"), **options):
        self.kind, self.made, self.make = kind, 0, make
        self.view = cache_page(options.pop("timeout", 600), **options)(
            self.asynchronous if kind == "async" else self.sync
        )

    def sync(self, request):
        self.made += 1
        return self.make(self.made)

    async def asynchronous(self, request):
        self.made += 1
        # The tasks of one loop meet only if nobody blocks it.
        return await asyncio.to_thread(self.make, self.made)

    def ask(self, *headers):
        """What each request got: the text, or the exception."""
        if self.kind == "async":

            async def ask_all():
                requests = (self.view(get(asynchronous=True, **each)) for each in headers)
                return await asyncio.gather(*requests, return_exceptions=True)

            answers = run(ask_all())
        else:

            def ask_one(each):
                try:
                    return self.view(get(**each))
                except Exception as error:
                    return error

            answers = [thread.result() for thread in [Thread(lambda each=each: ask_one(each)) for each in headers]]
        return [answer if isinstance(answer, Exception) else text(answer) for answer in answers]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


# As Django's


def test_they_are_django_s_own_classes():
    for name in "CacheMiddleware", "FetchFromCacheMiddleware", "UpdateCacheMiddleware":
        assert issubclass(getattr(middleware, name), getattr(django_pages, name))
    with override_settings(
        CACHE_MIDDLEWARE_SECONDS=7, CACHE_MIDDLEWARE_KEY_PREFIX="x", CACHE_MIDDLEWARE_ALIAS="django"
    ):
        made = middleware.CacheMiddleware(lambda request: None)
    assert (made.cache_timeout, made.key_prefix, made.cache_alias, made.page_timeout) == (7, "x", "django", None)
    assert (made.single_flight, made.stale_while_revalidate) == (False, None)


def test_a_view_stays_what_it_is():
    @cache_page(60)
    async def asynchronous(request):
        """Its text."""

    @cache_page(60)
    def sync(request):
        """Its text."""

    assert inspect.iscoroutinefunction(asynchronous) and not inspect.iscoroutinefunction(sync)
    assert asynchronous.__doc__ == sync.__doc__ == "Its text."


@pytest.mark.parametrize("backend", ["memory", "redis", "memcached"])
@pytest.mark.parametrize("cached", ["cache_page", "CacheMiddleware", "two middlewares"])
def test_an_async_page_is_cached_without_a_thread(cached, backend, params, configure, monkeypatch):
    configure({"default": params(backend)})
    made = []

    async def view(request):
        made.append(request.method)
        return HttpResponse("page")

    if cached == "cache_page":
        site = cache_page(60)(view)
    elif cached == "CacheMiddleware":
        site = middleware.CacheMiddleware(view)
    else:
        site = middleware.UpdateCacheMiddleware(middleware.FetchFromCacheMiddleware(view))
    assert inspect.iscoroutinefunction(site) or cached != "cache_page"

    async def hop(self, *args, **kwargs):
        raise AssertionError("a thread")

    monkeypatch.setattr(SyncToAsync, "__call__", hop)

    async def visit():
        answers = [await site(get(asynchronous=True, method=method)) for method in ("get", "get", "head")]
        return [text(answer) for answer in answers], answers[1].headers["Age"]

    assert run(visit()) == (["page"] * 3, "0")
    assert made == ["GET"]


async def plain(request):
    return HttpResponse(f"page {next(_stores)}")


urlpatterns = [path("plain", plain)]


def test_a_site_under_asgi_uses_no_more_threads_with_the_page_cache(monkeypatch):
    hops = []
    call = SyncToAsync.__call__

    async def hop(self, *args, **kwargs):
        hops.append(getattr(self.func, "__qualname__", repr(self.func)))
        return await call(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", hop)

    async def visit():
        client = AsyncClient()
        seen = [text(await client.get("/plain")) for _ in range(2)]
        taken, hops[:] = list(hops), []
        return seen[0] == seen[1], taken

    both = [f"pinyon.django.middleware.{name}Middleware" for name in ("UpdateCache", "FetchFromCache")]
    assert run(visit()) == (False, hops_without := run(visit())[1])
    with override_settings(MIDDLEWARE=both):
        assert run(visit()) == (True, hops_without)


@pytest.mark.parametrize(
    "response",
    [
        lambda: StreamingHttpResponse([b"stream"]),
        lambda: HttpResponse(headers={"Cache-Control": "private"}),
        lambda: HttpResponse(headers={"Cache-Control": "max-age=5, no-store"}),
        lambda: HttpResponse(headers={"Vary": "*"}),
        lambda: HttpResponse(status=404),
        lambda: with_cookie(HttpResponse(headers={"Vary": "Cookie"})),
    ],
    ids=["streaming", "private", "no-store", "vary", "404", "cookie"],
)
def test_what_django_does_not_cache_is_not_cached_in_async_code(response):
    made = []

    @cache_page(60)
    async def view(request):
        made.append(1)
        return response()

    async def visit():
        return [await view(get(asynchronous=True)) for _ in range(2)]

    run(visit())
    assert len(made) == 2


def with_cookie(response):
    response.set_cookie("session", "secret")
    return response


def test_post_is_neither_answered_from_the_cache_nor_stored(kind):
    site = Site(kind)
    assert site.ask({}) == ["page 1"]
    request = get("/", "post", kind == "async")
    answer = run(site.view(request)) if kind == "async" else site.view(request)
    assert text(answer) == "page 2"
    assert site.ask({}) == ["page 1"]


@pytest.mark.parametrize("hook", ["process_request", "process_response"])
def test_a_subclass_with_hooks_of_its_own_is_heeded_in_async_code(hook):
    """For members this cache is not; Django's middleware would run the hook in a thread, and so does this."""

    class Members(middleware.CacheMiddleware):
        pass

    def process_request(self, request):
        return None if "Member" in request.headers else super(Members, self).process_request(request)

    def process_response(self, request, response):
        return response if "Member" in request.headers else super(Members, self).process_response(request, response)

    setattr(Members, hook, {"process_request": process_request, "process_response": process_response}[hook])
    numbers = itertools.count(1)

    async def view(request):
        return HttpResponse(f"page {next(numbers)}")

    site = Members(view)

    async def visit():
        headers = [{}, {"Member": "yes"}, {}] if hook == "process_request" else [{"Member": "yes"}, {}, {}]
        return [text(await site(get(asynchronous=True, **each))) for each in headers]

    assert run(visit()) == (
        ["page 1", "page 2", "page 1"] if hook == "process_request" else ["page 1", "page 2", "page 2"]
    )


# With Django's pages


@pytest.mark.parametrize("stale", [None, 60])
@pytest.mark.parametrize("vary", ["", "X-Color, Accept-Language, X-Absent"])
def test_django_s_pages_are_ours_and_ours_are_django_s(params, configure, redis_server, kind, vary, stale):
    entry = params("redis")
    configure({"default": entry, "django": {**entry, "BACKEND": backends.INCUMBENT["redis"]}})
    pages = []

    def make(number):
        pages.append(HttpResponse(f"page {number}", headers={"Vary": vary} if vary else {}))
        return pages[-1]

    ours = Site(kind, make, key_prefix="shop", stale_while_revalidate=stale)
    theirs = django_cache_page(600, cache="django", key_prefix="shop")(ours.sync)
    red = {"X-Color": "red", "Accept-Language": "de"}

    def keys():
        with redis_server.client() as client:
            return sorted(client.keys())

    def clear():
        with redis_server.client() as client:
            client.flushall()

    stored = text(theirs(get(**red)))
    written = keys()
    assert len(written) == 2
    assert ours.ask(red, red) == [stored, stored]
    clear()
    [stored] = ours.ask(red)
    assert keys() == written
    assert text(theirs(get(**red))) == stored
    # Whatever the cache does, the client sees what Django says.
    assert dict(pages[1].headers).keys() == dict(pages[0].headers).keys()
    assert pages[1].headers["Cache-Control"] == pages[0].headers["Cache-Control"] == "max-age=600"
    assert len(pages) == 2


def test_a_page_is_cached_for_each_value_that_it_varies_by(kind):
    site = Site(kind, lambda number: HttpResponse(f"page {number}", headers={"Vary": "X-Color"}))
    red, blue = {"X-Color": "red"}, {"X-Color": "blue"}
    assert [site.ask(each)[0] for each in (red, blue, red, blue, {})] == [
        "page 1",
        "page 2",
        "page 1",
        "page 2",
        "page 3",
    ]


# Single flight


@pytest.mark.parametrize("alias", ["default", "django"])
def test_concurrent_misses_render_a_page_once(kind, alias):
    def make(number):
        until(lambda: waiting() == 7)
        return HttpResponse(f"page {number}")

    site = Site(kind, make, cache=alias)
    assert site.ask(*[{}] * 8) == ["page 1"] * 8


def test_without_single_flight_nobody_waits(kind):
    together = threading.Barrier(3)

    def make(number):
        together.wait(LIMIT)
        return HttpResponse(f"page {number}")

    site = Site(kind, make, single_flight=False)
    site.ask({}, {}, {})
    assert site.made == 3


def test_variants_of_a_page_are_rendered_once_each(kind):
    def make(number):
        # The first is of one colour; then one of the four others renders the other colour, and the rest waits for it.
        until(lambda: waiting() == {1: 7, 2: 3}[number])
        return HttpResponse(f"page {number}", headers={"Vary": "X-Color"})

    site = Site(kind, make)
    answers = site.ask(*[{"X-Color": "red"}] * 4, *[{"X-Color": "blue"}] * 4)
    assert sorted(map(set, (answers[:4], answers[4:])), key=str) == [{"page 1"}, {"page 2"}]


def test_what_cannot_be_cached_is_rendered_by_all_at_once(kind):
    together = threading.Barrier(4)

    def make(number):
        if number == 1:
            until(lambda: waiting() == 4)
        else:
            together.wait(LIMIT)
        return HttpResponse(f"page {number}", headers={"Cache-Control": "no-store"})

    site = Site(kind, make)
    assert sorted(site.ask(*[{}] * 5)) == [f"page {number}" for number in range(1, 6)]


@pytest.mark.parametrize("failure", ["exception", "status 500"])
def test_after_a_failure_the_next_one_renders_and_the_others_wait_on(kind, failure):
    def make(number):
        until(lambda: waiting() == 4 - number)
        if number == 1 and failure == "exception":
            raise LookupError
        return HttpResponse(f"page {number}", status=500 if number == 1 else 200)

    site = Site(kind, make)
    answers = site.ask(*[{}] * 4)
    assert sorted(map(str, answers)) == ["" if failure == "exception" else "page 1", *["page 2"] * 3]


def test_after_a_cancellation_the_next_one_renders():
    numbers = itertools.count(1)

    @cache_page(60)
    async def view(request):
        number = next(numbers)
        if number == 1:
            await asyncio.sleep(LIMIT)
        return HttpResponse(f"page {number}")

    async def visit():
        tasks = [asyncio.create_task(view(get(asynchronous=True))) for _ in range(3)]
        await auntil(lambda: waiting() == 2)
        tasks[0].cancel()
        return [text(answer) for answer in (await asyncio.gather(*tasks, return_exceptions=True))[1:]]

    assert run(visit()) == ["page 2", "page 2"]


def test_a_template_that_is_rendered_later_is_waited_for():
    made = []

    def slow():
        until(lambda: waiting() == 3)
        return "rendered"

    @cache_page(60)
    def view(request):
        made.append(1)
        return TemplateResponse(request, engines["django"].from_string("{{ slow }}"), {"slow": slow})

    def visit():
        response = view(get())
        return text(response if response.is_rendered else response.render())

    assert [thread.result() for thread in [Thread(visit) for _ in range(4)]] == ["rendered"] * 4
    assert len(made) == 1


def test_a_template_that_is_never_rendered_keeps_nobody_waiting():
    @cache_page(60)
    def view(request):
        return TemplateResponse(request, engines["django"].from_string("rendered"))

    response = view(get())
    follower = Thread(lambda: text(view(get()).render()))
    until(lambda: waiting() == 1)
    del response
    gc.collect()
    assert follower.result() == "rendered"


@pytest.mark.parametrize("on", [False, True])
def test_the_site_wide_middlewares_have_it_by_a_setting(on):
    made = []
    together = threading.Barrier(3)

    def view(request):
        made.append(1)
        if on:
            until(lambda: waiting() == 2)
        else:
            together.wait(LIMIT)
        return HttpResponse("page")

    with override_settings(CACHE_MIDDLEWARE_SINGLE_FLIGHT=on):
        site = middleware.UpdateCacheMiddleware(middleware.FetchFromCacheMiddleware(view))
        threads = [Thread(lambda: text(site(get()))) for _ in range(3)]
        assert [thread.result() for thread in threads] == ["page"] * 3
    assert len(made) == (1 if on else 3)


def test_fetching_alone_holds_no_flight():
    """Django's own middleware may be the one that stores: it ends no flight."""
    with override_settings(CACHE_MIDDLEWARE_SINGLE_FLIGHT=True):
        numbers = itertools.count(1)
        site = django_pages.UpdateCacheMiddleware(
            middleware.FetchFromCacheMiddleware(lambda request: HttpResponse(f"page {next(numbers)}"))
        )
        assert [text(site(get())) for _ in range(2)] == ["page 1", "page 1"]


# Stale while revalidate


def test_one_request_renders_a_stale_page_anew_and_the_others_get_it_at_once(kind):
    go = threading.Event()

    def make(number):
        assert number == 1 or go.wait(LIMIT)
        return HttpResponse(f"page {number}")

    site = Site(kind, make, timeout=1, stale_while_revalidate=60)
    assert site.ask({}, {}) == ["page 1"] * 2
    time.sleep(1.1)
    renewing = Thread(lambda: site.ask({}))
    until(lambda: site.made == 2)
    assert site.ask({}, {}) == ["page 1"] * 2
    go.set()
    assert renewing.result() == ["page 2"]
    assert site.ask({}) == ["page 2"]


def test_a_stale_page_says_its_age_and_survives_a_failure():
    numbers = itertools.count(1)

    @cache_page(1, stale_while_revalidate=60)
    def view(request):
        number = next(numbers)
        if number == 2:
            raise LookupError
        return HttpResponse(f"page {number}")

    first = view(get())
    assert first.headers["Cache-Control"] == "max-age=1"
    time.sleep(1.1)
    with pytest.raises(LookupError):
        view(get())
    stale = view(get(method="head"))
    assert (text(stale), int(stale.headers["Age"]) >= 1) == ("page 1", True)
    assert text(view(get())) == "page 3"


def test_who_wants_no_stale_page_gets_none(cache):
    site = Site("sync", timeout=1, stale_while_revalidate=60)
    strict = cache_page(1)(site.sync)
    assert site.ask({}) == ["page 1"]
    assert text(strict(get())) == "page 1"
    time.sleep(1.1)
    assert text(strict(get())) == "page 2"
    assert cache.get("nothing") is None
