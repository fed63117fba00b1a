"""An operation as a plan: what to send, and what the replies mean. Who sends it, a thread or an event loop, is not its matter.

A plan is a generator: it yields :class:`Request` and is sent the replies, one a command; what it returns is the result.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import inspect
import time
from collections.abc import Callable, Coroutine, Generator, Iterable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from pinyon import _pinyon
from pinyon.exceptions import CacheServerError

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C")
T = TypeVar("T")


class Request:
    """Commands that go to the server in one round trip, to each of several with its keys. A word is bytes, str, int or float.

    ``read``: they write nothing, so a replica may answer. ``repeatable``: twice is as good as once. ``transaction``: MULTI and
    EXEC around them. ``raise_errors``: a server's error is raised, not given among the replies. ``ignore``: a connection
    error may be ignored, as IGNORE_EXCEPTIONS says. ``group``: of several primaries, the one that gets commands without a key.
    """

    __slots__ = ("commands", "group", "ignore", "raise_errors", "read", "repeatable", "transaction")

    def __init__(
        self,
        *commands: tuple[Any, ...],
        read: bool = False,
        repeatable: bool = False,
        transaction: bool = False,
        raise_errors: bool = True,
        ignore: bool = True,
        group: int = 0,
    ) -> None:
        self.commands = commands
        self.read = read
        self.repeatable = repeatable
        self.transaction = transaction
        self.raise_errors = raise_errors
        self.ignore = ignore
        self.group = group


class Pause:
    """Waiting, in seconds: a thread sleeps, a task lets others run. Nothing is sent back."""

    __slots__ = ("seconds",)

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Groups:
    """How many primaries share the keys: a list with that number is sent back."""

    __slots__ = ()


Plan = Generator[Request | Pause | Groups, list[Any], T]


class Script:
    """A Lua script, by the name that the server knows it by once it has run."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def plan(self, keys: Iterable[Any], args: Iterable[Any], ignore: bool = True) -> Plan[Any]:
        """Run it by its name, and with its text if the server does not know it."""
        keys = [*keys]
        words = (len(keys), *keys, *args)
        (reply,) = yield Request(("EVALSHA", self.sha, *words), raise_errors=False, ignore=ignore)
        if isinstance(reply, CacheServerError) and "NOSCRIPT" in str(reply):
            (reply,) = yield Request(("EVAL", self.text, *words), raise_errors=False, ignore=ignore)
        if isinstance(reply, Exception):
            raise reply
        return reply


def run(cache: Any, name: str, plan: Plan[R], ignored: Callable[[], Any] | None = None) -> R:
    """Run a plan on the calling thread; ``ignored`` makes the result if a connection error is ignored."""
    try:
        request = next(plan)
        while True:
            if isinstance(request, Pause):
                time.sleep(request.seconds)
                request = plan.send([])
                continue
            if isinstance(request, Groups):
                replies: list[Any] | None = _pinyon.count_groups(cache, name)
            else:
                replies = _pinyon.run_commands(cache, name, request.commands, request)
            if replies is None:
                return cast(R, ignored() if ignored else None)
            request = plan.send(replies)
    except StopIteration as stop:
        return cast(R, stop.value)


async def arun(cache: Any, name: str, plan: Plan[R], ignored: Callable[[], Any] | None = None) -> R:
    """:func:`run` on the running event loop."""
    try:
        request = next(plan)
        while True:
            if isinstance(request, Pause):
                await asyncio.sleep(request.seconds)
                request = plan.send([])
                continue
            if isinstance(request, Groups):
                replies: list[Any] | None = await _pinyon.start_count_groups(cache, name)
            else:
                replies = await _pinyon.start_commands(cache, name, request.commands, request)
            if replies is None:
                return cast(R, ignored() if ignored else None)
            request = plan.send(replies)
    except StopIteration as stop:
        return cast(R, stop.value)


def operation(
    ignored: Callable[[], Any] | None = None,
    several: Callable[[], Any] | None = None,
    called: str | None = None,
) -> Callable[[Callable[Concatenate[C, P], Plan[R]]], Callable[Concatenate[C, P], R]]:
    """Make a method of a plan. ``ignored`` makes its result if a connection error is ignored; None: the result is None.

    ``several`` makes it instead where the argument ``count`` is given. ``called`` is what errors call the operation, where the
    plan is a part of another method.
    """

    def decorate(plan: Callable[Concatenate[C, P], Plan[R]]) -> Callable[Concatenate[C, P], R]:
        name, begin, result = called or plan.__name__, _beginning(plan), _result(plan, ignored, several)

        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            return run(self, name, begin(self, args, kwargs), result(args, kwargs))

        made = _dress(method, plan, plan.__name__)
        made._plan, made._result, made._called = plan, result, name
        return cast("Callable[Concatenate[C, P], R]", made)

    return decorate


def twin(method: Callable[Concatenate[C, P], R]) -> Callable[Concatenate[C, P], Coroutine[Any, Any, R]]:
    """Make the ``a`` twin of a method that :func:`operation` made."""
    plan, result, name = cast(Any, method)._plan, cast(Any, method)._result, cast(Any, method)._called
    begin = _beginning(plan)

    async def amethod(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await arun(self, name, begin(self, args, kwargs), result(args, kwargs))

    made = _dress(amethod, plan, f"_a{plan.__name__[1:]}" if plan.__name__.startswith("_") else f"a{plan.__name__}")
    made._plan = plan
    return cast("Callable[Concatenate[C, P], Coroutine[Any, Any, R]]", made)


def _beginning(plan: Any) -> Callable[[Any, tuple[Any, ...], dict[str, Any]], Plan[Any]]:
    """Return what looks at the argument ``client`` and begins the plan."""
    find_client = _finder(plan, "client")

    def begin(self: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan[Any]:
        client = find_client(args, kwargs)
        if client is not None:
            self._check_client(client)
        return cast("Plan[Any]", plan(self, *args, **kwargs))

    return begin


def _result(plan: Any, ignored: Callable[[], Any] | None, several: Callable[[], Any] | None) -> Any:
    """Return what chooses between the two results of an ignored error, by the arguments."""
    if several is None:
        return lambda args, kwargs: ignored
    find_count = _finder(plan, "count")
    return lambda args, kwargs: ignored if find_count(args, kwargs) is None else several


def _finder(plan: Any, name: str) -> Callable[[tuple[Any, ...], dict[str, Any]], Any]:
    """Return what finds an argument of a plan, wherever it stands; None if it is not given."""
    parameters = [*inspect.signature(plan).parameters.values()][1:]
    place = next(
        (
            index
            for index, parameter in enumerate(parameters)
            if parameter.name == name and parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        ),
        None,
    )
    return lambda args, kwargs: args[place] if place is not None and len(args) > place else kwargs.get(name)


def _dress(made: Any, plan: Any, name: str) -> Any:
    """Give a method the name, the text and the signature of its plan; what it returns is what the plan comes to."""
    functools.update_wrapper(made, plan)
    del made.__wrapped__
    returned = plan.__annotations__["return"].removeprefix("Plan[").removesuffix("]")
    signature = inspect.signature(plan)
    made.__signature__ = signature.replace(return_annotation=returned)
    made.__annotations__ = {**plan.__annotations__, "return": returned}
    made.__name__, made.__qualname__ = name, f"{plan.__qualname__.rpartition('.')[0]}.{name}"
    return made


class RedisMethods:
    """What the groups of methods need of the cache that they belong to."""

    version: Any
    key_prefix: Any
    key_func: Callable[..., str]
    _params: dict[str, Any]

    def _key(self, key: Any, version: Any) -> str:
        return str(cast(Any, self).make_and_validate_key(key, version=version))

    def _encode(self, value: Any) -> bytes:
        """A member of a set or a list, or a field's value: integers are digits."""
        return _pinyon.encode(self, value)

    def _decode(self, key: str, data: bytes | None) -> Any:
        return _pinyon.decode(self, key, data)

    def _for_keys(self, command: str, made: Iterable[Any]) -> list[tuple[Any, ...]]:
        """A command that takes any number of keys: one for all, or one for each if several servers share them."""
        return [(command, key) for key in made] if _pinyon.is_divided(self) else [(command, *made)]

    def _check_client(self, client: Any) -> None:
        raise NotImplementedError
