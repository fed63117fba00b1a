"""Django system checks of CACHES, under the tag ``caches``; ``docs/checks.md`` has a paragraph on each.

They are there when ``pinyon.django`` is in INSTALLED_APPS. SILENCED_SYSTEM_CHECKS silences each by its id. None of them
connects to a server, except W002, which only ``check --deploy`` runs.
"""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from django.core import checks, mail
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends import locmem
from django.core.checks.registry import registry
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from pinyon import _pinyon
from pinyon.django.locmem import LocMemCache
from pinyon.django.redis import SENTINEL_FACTORY, RedisCache

#: Settings of django-redis that say nothing here, and why.
IDLE_SETTINGS = {
    "DJANGO_REDIS_CLOSE_CONNECTION": "connections stay open between requests",
    "DJANGO_REDIS_CONNECTION_FACTORY": "connections are Pinyon's own",
}

#: What DJANGO_REDIS_CONNECTION_FACTORY may say: where the servers are, or nothing new.
MEANINGFUL_FACTORIES = (SENTINEL_FACTORY, "django_redis.pool.ConnectionFactory")

#: How long W002 waits for a server, in seconds.
PATIENCE = 1


def register() -> None:
    """Register all checks; ``pinyon.django.apps`` calls it."""
    for check in (check_settings, check_workers, check_collisions):
        checks.register(check, checks.Tags.caches)
    checks.register(check_open_redis, checks.Tags.caches, deploy=True)
    # Django's own checks open every cache, and with settings that are E001 they would end in a traceback instead.
    for registered, deploy in ((registry.registered_checks, False), (registry.deployment_checks, True)):
        for check in [check for check in registered if check.__module__ == "django.core.checks.caches"]:
            registered.remove(check)
            checks.register(_unless_misconfigured(check), *check.tags, deploy=deploy)


def _unless_misconfigured(check: Any) -> Any:
    @functools.wraps(check)
    def guarded(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
        try:
            found: list[checks.CheckMessage] = check(app_configs=app_configs, **kwargs)
        except (ImproperlyConfigured, InvalidCacheBackendError):
            if not errors_of(caches.settings):
                raise
            return []
        return found

    return guarded


def check_settings(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """E001, E002 and W004: what the settings say."""
    return errors_of(caches.settings) + warnings_of(caches.settings)


def errors_of(configured: Mapping[str, Any]) -> list[checks.CheckMessage]:
    """E001, settings that the backend does not take; E002, a BACKEND that is not there."""
    found: list[checks.CheckMessage] = []
    for alias, entry in configured.items():
        path = entry.get("BACKEND")
        try:
            backend = import_string(path)
        except Exception as error:  # a module may fail with anything while it is imported
            message = f"cache '{alias}': BACKEND {path!r} cannot be imported: {error}"
            hint = "Correct the path, or install the package that has it."
            found.append(checks.Error(message, hint=hint, id="pinyon.E002"))
            continue
        if not hasattr(backend, "_backend_path"):
            continue
        try:
            _read(alias, backend, entry)
        except Exception as error:  # a serializer that the site names may raise anything while it is imported
            known: str | None = getattr(error, "hint", None)
            message = str(error).removesuffix(f". {known}")
            if f"'{alias}'" not in message:
                message = f"cache '{alias}': {message}"
            hint = known or f"Correct CACHES['{alias}']; no option is ignored, and docs/ lists those of each backend."
            found.append(checks.Error(message, hint=hint, id="pinyon.E001"))
    return found


def warnings_of(configured: Mapping[str, Any]) -> list[checks.CheckMessage]:
    """W004: options, and settings of django-redis, that are accepted and do nothing."""
    hint = "Remove the option; or silence this, while the site may still go back to the client that the option is for."
    backends = {alias: _backend(entry) for alias, entry in configured.items()}
    found = [
        warning
        for alias, entry in configured.items()
        if hasattr(backends[alias], "_backend_path")
        for warning in getattr(_configuration(alias, entry), "warnings", [])
    ]
    # A cache that is still django-redis's own heeds them.
    theirs = any(getattr(backend, "__module__", "").startswith("django_redis.") for backend in backends.values())
    if not theirs and any(_is(backend, RedisCache) for backend in backends.values()):
        found += [
            f"{name} has no effect: {why}"
            for name, why in IDLE_SETTINGS.items()
            if getattr(settings, name, None) not in (None, False, *MEANINGFUL_FACTORIES)
        ]
    return [checks.Warning(warning, hint=hint, id="pinyon.W004") for warning in found]


def check_workers(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W001: a memory cache where several workers would want to share one.

    Only for what a site relies on without naming it, `default` and the cache of its sessions: a memory cache under another
    alias is there on purpose. Not while developing, nor in tests, which Django runs with DEBUG = False.
    """
    if settings.DEBUG or hasattr(mail, "outbox"):
        return []
    sessions = settings.SESSION_ENGINE.rpartition(".")[2] in ("cache", "cached_db")
    session_alias = settings.SESSION_CACHE_ALIAS if sessions else None
    found: list[checks.CheckMessage] = []
    for alias in dict.fromkeys(["default", session_alias]):
        if not _is(_backend(caches.settings.get(alias, {})), (LocMemCache, locmem.LocMemCache)):
            continue
        costs = "what one worker stores, changes or deletes, the others do not see"
        if alias == session_alias:
            costs = "a session that one worker changes is old or unknown to the others"
        message = f"cache '{alias}' is process memory, of which every worker process has its own: {costs}."
        hint = (
            "With more than one worker, use a cache that they share: Redis, Memcached, a database or files. "
            "With one worker, or if the differences do no harm, silence pinyon.W001."
        )
        found.append(checks.Warning(message, hint=hint, id="pinyon.W001"))
    return found


def check_open_redis(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W002: a Redis that answers without a password to others than this machine. Connects to it, without any credentials.

    A server that LOCATION finds at a loopback address is asked through this machine's own address in the network, as
    another host would.
    """
    found: list[checks.CheckMessage] = []
    for alias, entry in caches.settings.items():
        configuration = _configuration(alias, entry)
        for host, port, tls in getattr(configuration, "redis_addresses", []):
            seen = next((place for place in _from_outside(host) if _answers(place, port, tls)), None)
            if seen is None:
                continue
            message = f"cache '{alias}': the Redis server at {_address(seen, port)} answers without a password, and not only to this machine."
            hint = (
                "Whoever reaches it can read, change and delete everything in it. Set requirepass (or an ACL user) in its "
                "configuration and the password in LOCATION; or let it listen on 127.0.0.1 or a unix socket only."
            )
            found.append(checks.Warning(message, hint=hint, id="pinyon.W002"))
    return found


def check_collisions(app_configs: Any = None, **kwargs: Any) -> list[checks.CheckMessage]:
    """W003: two aliases that make the same keys in the same store."""
    found: list[checks.CheckMessage] = []
    first: dict[tuple[Any, ...], str] = {}
    reported: set[tuple[str, str]] = set()
    for alias, entry in caches.settings.items():
        for place in getattr(_configuration(alias, entry), "places", []):
            function = entry.get("KEY_FUNCTION")
            keys = (place, str(entry.get("KEY_PREFIX", "")), str(entry.get("VERSION", 1)), _function(function))
            other = first.setdefault(keys, alias)
            if other == alias or (other, alias) in reported:
                continue
            reported.add((other, alias))
            message = (
                f"caches '{other}' and '{alias}' keep their entries under the same keys in the same store, {place}: "
                "what one sets, the other overwrites."
            )
            hint = (
                "Give one of them another KEY_PREFIX, or a database or LOCATION of its own. "
                "If both are meant to be the same cache, silence pinyon.W003."
            )
            found.append(checks.Warning(message, hint=hint, id="pinyon.W003"))
    return found


def _backend(entry: Mapping[str, Any]) -> Any:
    """The class of BACKEND; None if it cannot be imported, which is E002."""
    try:
        return import_string(entry.get("BACKEND"))
    except Exception:
        return None


def _is(backend: Any, base: Any) -> bool:
    return isinstance(backend, type) and issubclass(backend, base)


def _configuration(alias: str, entry: Mapping[str, Any]) -> _pinyon.Configuration | None:
    """What Pinyon reads; also for the backends that it stands in for, as far as their settings can be read."""
    try:
        return _read(alias, _backend(entry), entry)
    except Exception:  # E001, or another backend's own business
        return None


def _read(alias: str, backend: Any, entry: Mapping[str, Any]) -> _pinyon.Configuration:
    path = str(getattr(backend, "_backend_path", entry.get("BACKEND")))
    params = {key: value for key, value in entry.items() if key not in ("BACKEND", "LOCATION")}
    if hasattr(backend, "_complete"):
        params = backend._complete(params)
    return _pinyon.Configuration(alias, path, entry.get("LOCATION", ""), params)


def _function(function: Any) -> str:
    """The path of a KEY_FUNCTION, however it was given."""
    if callable(function):
        return f"{function.__module__}.{function.__qualname__}"
    return str(function or "django.core.cache.backends.base.default_key_func")


def _from_outside(host: str) -> Iterator[str]:
    """The addresses under which another host would look for `host`."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        yield host
        return
    # Connecting a UDP socket sends nothing; it only finds out which of this machine's addresses leads there. These
    # two are addresses for documentation, and lead to the default route.
    for family, anywhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as outward:
            outward.connect((anywhere, 9))
            yield outward.getsockname()[0]


def _answers(host: str, port: int, tls: bool) -> bool:
    options: dict[str, Any] = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    if tls:
        options["ssl_cert_reqs"] = "none"  # who the server is does not matter, but what it tells
    location = f"{'rediss' if tls else 'redis'}://{_address(host, port)}"
    server = RedisCache(location, {"OPTIONS": options})._check()[0]
    return bool(server["ok"])


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
