"""Django's page cache without a thread in async code, with one rendering for many who ask, and with stale pages meanwhile.

The rules and the keys are Django's own: what may be cached is decided by Django's code, and a page that either stores is a hit for
both. What is done for a request is written once, as a generator of steps; a sync and an async runner take them.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.conf import settings
from django.http.response import HttpResponseBase
from django.middleware.cache import CacheMiddleware as DjangoCacheMiddleware
from django.middleware.cache import FetchFromCacheMiddleware as DjangoFetchFromCacheMiddleware
from django.middleware.cache import UpdateCacheMiddleware as DjangoUpdateCacheMiddleware
from django.utils.cache import _generate_cache_header_key, _generate_cache_key, get_max_age
from django.utils.http import parse_http_date_safe

from pinyon.django import single_flight
from pinyon.django.base import Backend

Result = TypeVar("Result")

#: Where a page says, in Unix time, until when it is fresh. Without it, as Django stores pages, it is fresh while it is there.
FRESH_UNTIL = "_pinyon_fresh_until"
#: Where a request has its `_Visit`.
VISIT = "_pinyon_visit"


class Step(NamedTuple):
    """One thing that may have to be waited for."""

    function: Callable[..., Any]
    asynchronous: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


Steps = Generator[Step, Any, Result]


def run(steps: Steps[Result]) -> Result:
    """Take the steps in this thread."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            failure = None  # which would refer to itself through this frame
        try:
            answer = step.function(*step.arguments)
        except BaseException as error:
            failure = error


async def arun(steps: Steps[Result]) -> Result:
    """Take the steps on this event loop."""
    answer: Any = None
    failure: BaseException | None = None
    while True:
        try:
            step = steps.send(answer) if failure is None else steps.throw(failure)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            failure = None  # which would refer to itself through this frame
        try:
            answer = await step.asynchronous(*step.arguments)
        except BaseException as error:
            failure = error


def _call(view: Callable[..., Any], *args: Any, **kwargs: Any) -> Step:
    """The step that calls a view, which is of the kind of the runner."""
    call = functools.partial(view, *args, **kwargs)
    return Step(call, call)


class _Visit:
    """A request between the look for its page and the storing of it, and the flight that it leads meanwhile, if it does."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._outer = getattr(request, VISIT, None)
        self.turn = single_flight.Turn(None, 0)

    def __enter__(self) -> _Visit:
        setattr(self._request, VISIT, self)
        return self

    def __exit__(self, *_: object) -> None:
        setattr(self._request, VISIT, self._outer)
        self.turn.leave(made=False)

    def take(self, turn: single_flight.Turn) -> single_flight.Turn:
        self.turn.leave(made=True)
        self.turn = turn
        return turn

    def after_rendering(self, middleware: CacheMiddleware, response: Any) -> Any:
        """Store the response once it is rendered, and lead until then."""
        turn, self.turn = self.turn, single_flight.Turn(None, 0)
        response.add_post_render_callback(_AfterRendering(middleware, self._request, turn))
        return response


class _AfterRendering:
    """Stores a page when its template has been rendered; the next one leads if that never happens."""

    def __init__(self, middleware: CacheMiddleware, request: Any, turn: single_flight.Turn) -> None:
        self._middleware = middleware
        self._request = request
        self._turn = turn

    def __call__(self, response: Any) -> Any:
        try:
            response = self._middleware.process_response(self._request, response)
            self._turn.leave(made=_is_answer(response))
            return response
        finally:
            self._turn.leave(made=False)

    def __del__(self) -> None:
        self._turn.leave(made=False)


class _Writes:
    """Stands in for the middleware, and for its cache, in Django's own `process_response`: what that stores is listed here."""

    def __init__(self, middleware: UpdateCacheMiddleware) -> None:
        self._middleware = middleware
        self._listed: list[tuple[Any, ...]] | None = []
        self.cache = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._middleware, name)

    def set(self, key: str, value: Any, timeout: Any) -> None:
        stale = self._middleware.stale_while_revalidate
        if stale and timeout > 0:
            if isinstance(value, HttpResponseBase):
                setattr(value, FRESH_UNTIL, time.time() + timeout)
            timeout += stale
        if self._listed is None:
            # A template that is rendered later, in a thread.
            self._middleware.cache.set(key, value, timeout)
        else:
            self._listed.append((key, value, timeout))

    def take(self) -> list[tuple[Any, ...]]:
        listed, self._listed = self._listed or [], None
        return listed


class _Pages:
    """What the middlewares have in common.

    ``single_flight``: whether concurrent misses on a page wait for one rendering; default the setting
    CACHE_MIDDLEWARE_SINGLE_FLIGHT, or False. ``stale_while_revalidate``: seconds for which a page that has timed out is still given
    while one request renders it anew; default the setting CACHE_MIDDLEWARE_STALE_WHILE_REVALIDATE, or None.
    """

    async_mode: bool
    cache: Any
    cache_alias: str
    get_response: Callable[..., Any]
    key_prefix: str | None

    def __init__(
        self,
        get_response: Callable[..., Any],
        *args: Any,
        single_flight: bool | None = None,
        stale_while_revalidate: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(get_response, *args, **kwargs)  # type: ignore[call-arg]
        if single_flight is None:
            single_flight = getattr(settings, "CACHE_MIDDLEWARE_SINGLE_FLIGHT", False)
        if stale_while_revalidate is None:
            stale_while_revalidate = getattr(settings, "CACHE_MIDDLEWARE_STALE_WHILE_REVALIDATE", None)
        self.single_flight = single_flight
        self.stale_while_revalidate = stale_while_revalidate

    def __call__(self, request: Any) -> Any:
        steps = self._serve(request, self.get_response)
        return arun(steps) if self.async_mode else run(steps)

    def _serve(self, request: Any, get_response: Callable[..., Any], *args: Any, **kwargs: Any) -> Steps[Any]:
        raise NotImplementedError

    def _hook(self, name: str, own: Callable[..., Any], steps: Callable[..., Steps[Any]], *args: Any) -> Steps[Any]:
        """The steps of a method of the middleware; or the method, if a subclass has another one. That is sync: a thread runs it."""
        method = getattr(self, name)
        if getattr(method, "__func__", None) is own:
            return (yield from steps(*args))
        return (yield Step(method, sync_to_async(method, thread_sensitive=True), args))

    def _flight_key(self, key: str) -> Any:
        cache = self.cache
        if isinstance(cache, Backend):
            return cache._flight_key(key)
        return self.cache_alias, cache.make_key(key)


class UpdateCacheMiddleware(_Pages, DjangoUpdateCacheMiddleware):
    """Stands in for ``django.middleware.cache.UpdateCacheMiddleware``: the first in MIDDLEWARE."""

    def process_response(self, request: Any, response: Any) -> Any:
        """As Django's."""
        return run(self._store(request, response))

    def _serve(self, request: Any, get_response: Callable[..., Any], *args: Any, **kwargs: Any) -> Steps[Any]:
        with _Visit(request) as visit:
            response = yield _call(get_response, request, *args, **kwargs)
            return (yield from self._finish(visit, request, response))

    def _finish(self, visit: _Visit, request: Any, response: Any) -> Steps[Any]:
        own = UpdateCacheMiddleware.process_response
        response = yield from self._hook("process_response", own, self._store, request, response)
        visit.turn.leave(made=_is_answer(response))
        return response

    def _store(self, request: Any, response: Any) -> Steps[Any]:
        writes = _Writes(self)
        response = DjangoUpdateCacheMiddleware.process_response(writes, request, response)
        for arguments in writes.take():
            cache = self.cache
            yield Step(cache.set, cache.aset, arguments)
        return response


class FetchFromCacheMiddleware(_Pages, DjangoFetchFromCacheMiddleware):
    """Stands in for ``django.middleware.cache.FetchFromCacheMiddleware``: the last in MIDDLEWARE."""

    def process_request(self, request: Any) -> Any:
        """As Django's."""
        return run(self._fetch(request))

    def _serve(self, request: Any, get_response: Callable[..., Any], *args: Any, **kwargs: Any) -> Steps[Any]:
        response = yield from self._begin(request)
        if response is None:
            response = yield _call(get_response, request, *args, **kwargs)
        return response

    def _begin(self, request: Any) -> Steps[Any]:
        own = FetchFromCacheMiddleware.process_request
        return (yield from self._hook("process_request", own, self._fetch, request))

    def _fetch(self, request: Any) -> Steps[Any]:
        """Return the page, or None if this request is to make it."""
        request._cache_update_cache = False
        if request.method not in ("GET", "HEAD"):
            return None
        # Without the middleware that stores, nobody would end a flight.
        visit = getattr(request, VISIT, None)
        since = single_flight.landings
        page, key = yield from self._look(request)
        if page is not None and _is_stale(page):
            if self.stale_while_revalidate and visit is not None:
                turn = visit.take(single_flight.Turn(self._flight_key(key), since))
                # What HEAD made would not take the place of what GET has stored.
                if request.method == "HEAD" or not turn.lead(asynchronous=self.async_mode):
                    return self._hit(request, page)
                visit = None  # this request makes the page: it waits for nobody
            page = None
        if page is None and visit is not None and self.single_flight:
            page = yield from self._wait(request, visit, key, since)
        if page is not None:
            return self._hit(request, page)
        request._cache_update_cache = True
        return None

    def _wait(self, request: Any, visit: _Visit, key: str, since: int) -> Steps[Any]:
        """Return the page that another request has made; None if this one leads, or what was made is not for it."""
        for _ in range(2):
            turn = visit.take(single_flight.Turn(self._flight_key(key), since))
            if not (yield Step(turn.__enter__, turn.__aenter__)):
                return None
            since = single_flight.landings
            page, known = yield from self._look(request)
            if page is not None and not _is_stale(page):
                turn.leave(made=True)
                return page
            if known == key:
                return None
            # Now it is known by which headers the page varies, and that this request's is another one.
            key = known
        return None

    def _look(self, request: Any) -> Steps[tuple[Any, str]]:
        """Return the page and its key; None and what stands for the key as long as nobody knows by which headers it varies."""
        cache = self.cache
        prefix = settings.CACHE_MIDDLEWARE_KEY_PREFIX if self.key_prefix is None else self.key_prefix
        key = _generate_cache_header_key(prefix, request)
        headers = yield Step(cache.get, cache.aget, (key,))
        if headers is None:
            return None, f"{key}.{request.method}"
        page = None
        # A page that GET has stored answers HEAD as well.
        for method in dict.fromkeys(("GET", request.method)):
            if page is None:
                key = _generate_cache_key(request, method, headers, prefix)
                page = yield Step(cache.get, cache.aget, (key,))
        return page, key

    def _hit(self, request: Any, page: Any) -> Any:
        request._cache_update_cache = False
        lifetime, expires = get_max_age(page), parse_http_date_safe(page.get("Expires", ""))
        if lifetime is not None and expires is not None:
            page.headers["Age"] = max(0, lifetime - (expires - int(time.time())))
        return page


class CacheMiddleware(UpdateCacheMiddleware, FetchFromCacheMiddleware, DjangoCacheMiddleware):
    """Stands in for ``django.middleware.cache.CacheMiddleware``, which is both in one."""

    def _serve(self, request: Any, get_response: Callable[..., Any], *args: Any, **kwargs: Any) -> Steps[Any]:
        return (yield from self._serve_page(request, get_response, args, kwargs, decorates=False))

    def _serve_page(
        self, request: Any, get_response: Callable[..., Any], args: Any, kwargs: Any, decorates: bool
    ) -> Steps[Any]:
        """``decorates``: as Django's decorator, which stores a template response once it is rendered, and hands on what it found."""
        with _Visit(request) as visit:
            response = yield from self._begin(request)
            if response is None:
                response = yield _call(get_response, request, *args, **kwargs)
                if decorates and callable(getattr(response, "render", None)):
                    return visit.after_rendering(self, response)
            elif decorates:
                return response
            return (yield from self._finish(visit, request, response))


def cache_page(
    timeout: float | None,
    *,
    cache: str | None = None,
    key_prefix: str | None = None,
    single_flight: bool = True,
    stale_while_revalidate: float | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """As ``django.views.decorators.cache.cache_page``; an async view stays async, and no thread is used for the cache.

    ``single_flight``: concurrent misses on a page wait for one rendering. ``stale_while_revalidate``: seconds for which a page that
    has timed out is still given to all but the one request that renders it anew; None: not at all.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        middleware = CacheMiddleware(
            view,
            page_timeout=timeout,
            cache_alias=cache,
            key_prefix=key_prefix,
            single_flight=single_flight,
            stale_while_revalidate=stale_while_revalidate or 0,
        )

        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def cached(request: Any, *args: Any, **kwargs: Any) -> Any:
                return await arun(middleware._serve_page(request, view, args, kwargs, decorates=True))
        else:

            @functools.wraps(view)
            def cached(request: Any, *args: Any, **kwargs: Any) -> Any:
                return run(middleware._serve_page(request, view, args, kwargs, decorates=True))

        return cached

    return decorate


def _is_stale(page: Any) -> bool:
    fresh_until = getattr(page, FRESH_UNTIL, None)
    return fresh_until is not None and fresh_until <= time.time()


def _is_answer(response: Any) -> bool:
    """Whether the page was made: if the server failed, the next one who waits tries."""
    return bool(getattr(response, "status_code", 200) < 500)
