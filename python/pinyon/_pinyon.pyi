"""The extension module. Use ``pinyon.django``."""

from asyncio import Future
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

__version__: str

def install(
    default_timeout: object,
    default_key_func: Callable[..., str],
    stand_ins: list[tuple[str, list[Any]]],
    resolved: Future[None],
) -> None:
    """Take over Django's sentinel and functions, and a future that has a result. Called once, by ``pinyon.django.base``."""

def pickle_dumps(value: Any, protocol: int) -> bytes:
    """Return ``pickle.dumps(value, protocol)``; plain data is written in Rust."""

def pickle_loads(data: bytes) -> Any:
    """Return ``pickle.loads(data)``; plain data is read in Rust."""

class Configuration:
    """The settings of one alias, read and validated. Raises ``ImproperlyConfigured``."""

    warnings: list[str]
    @property
    def places(self) -> list[str]:
        """The stores that hold the entries, without credentials: caches that have one in common share their keys there."""
    @property
    def clears_prefix(self) -> bool:
        """Whether ``clear`` removes only the keys of the prefix and the version: Redis with CLEAR ``"prefix"``."""
    @property
    def redis_addresses(self) -> list[tuple[str, int, bool]]:
        """Host, port, and whether TLS is spoken, of every Redis server that is reached through the network."""
    @property
    def breaker(self) -> tuple[int, float] | None:
        """BREAKER_FAILURES and BREAKER_PAUSE, in seconds, of a Redis cache; None of others."""
    serializer: Any
    """The object with ``dumps`` and ``loads`` that stands in for pickle; None for pickle itself."""
    def __new__(cls, alias: str, backend: str, location: Any, params: dict[str, Any]) -> Configuration: ...
    def found(self, hits: int, misses: int) -> None:
        """Count what was found and what was not."""
    def failed(self) -> bool:
        """Count an operation that failed; return whether it was the first."""
    def bad_value(self, key: str, error: Exception) -> None:
        """Count a value that cannot be read, and log the first one; or raise ``BadValueError``, as the settings say."""
    def stats(self) -> dict[str, int]:
        """Return ``hits``, ``misses``, ``bad_values`` and ``errors`` of the caches with this configuration."""

class Backend:
    """The attributes of ``BaseCache`` that decide keys and timeouts; setting one takes effect with the next call."""

    default_timeout: float | None
    key_prefix: str
    version: Any
    key_func: Callable[[Any, str, Any], str]
    _max_entries: int
    _cull_frequency: int
    def _made_key(self, key: Any, version: Any = None) -> str:
        """Return the key that is stored, as ``make_and_validate_key`` makes it."""
    def _note_patched(self) -> None: ...
    def _remember(self, configuration: Configuration) -> None:
        """Keep these attributes for the next backend of the same settings, if its key function is Django's."""
    def _recall(self, configuration: Configuration) -> bool:
        """Set the attributes that were kept; False if there are none."""

class _Cache(Backend):
    def _configure(self, configuration: Configuration) -> None: ...
    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        """Return the value, or ``default`` if there is none. A stored None is a value."""
    def set(self, key: Any, value: Any, timeout: float | None = ..., version: Any = None) -> None:
        """Store the value for ``timeout`` seconds; None: for ever; 0 or less: not at all."""
    def add(self, key: Any, value: Any, timeout: float | None = ..., version: Any = None) -> bool:
        """Store the value if the key has none; return whether it had none."""
    def touch(self, key: Any, timeout: float | None = ..., version: Any = None) -> bool:
        """Give an existing entry a new timeout; return whether it existed."""
    def delete(self, key: Any, version: Any = None) -> bool:
        """Remove an entry; return whether it existed."""
    def has_key(self, key: Any, version: Any = None) -> bool:
        """Return whether there is an entry."""
    def incr(self, key: Any, delta: int = 1, version: Any = None) -> int:
        """Add ``delta`` atomically and keep the timeout; return the sum. ValueError if the key has no value."""
    def get_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        """Return the values that there are, by the keys as they were given."""
    def set_many(self, data: Mapping[Any, Any], timeout: float | None = ..., version: Any = None) -> list[Any]:
        """Store many values; return the keys that were not stored."""
    def delete_many(self, keys: Iterable[Any], version: Any = None) -> Any:
        """Remove many entries."""
    def ttl(self, key: Any, version: Any = None) -> int | None:
        """Return the seconds that an entry has left; None if it does not expire, 0 if there is none."""
    def stats(self) -> dict[str, int]:
        """Return what this cache has done in this process: ``hits``, ``misses``, ``bad_values`` and more."""
    def _check(self) -> list[dict[str, Any]]:
        """Ask every server how it is: a dictionary a server, as ``pinyon check --json`` has them."""

class LocMemCache(_Cache):
    """Process memory."""

    _cache: StoreView
    _expire_info: StoreView
    @property
    def _lock(self) -> StoreView: ...
    def clear(self) -> None: ...

class RedisCache(_Cache):
    """Redis and Valkey."""

    def get(self, key: Any, default: Any = None, version: Any = None, client: Any = None) -> Any:
        """Return the value, or ``default``."""
    def set(
        self,
        key: Any,
        value: Any,
        timeout: float | None = ...,
        version: Any = None,
        client: Any = None,
        nx: bool = False,
        xx: bool = False,
        get: bool = False,
    ) -> Any:
        """Store a value; return whether it was stored. Only if the key has none (``nx``), or has one (``xx``).

        ``timeout`` in seconds; None: for ever; 0 or less: not at all. With ``get``, the value before that is returned.
        """
    def add(self, key: Any, value: Any, timeout: float | None = ..., version: Any = None, client: Any = None) -> bool:
        """Store the value if the key has none; return whether it had none."""
    def touch(self, key: Any, timeout: float | None = ..., version: Any = None, client: Any = None) -> bool:
        """Give an existing entry a new timeout; return whether it existed."""
    def delete(self, key: Any, version: Any = None, prefix: Any = None, client: Any = None) -> bool:
        """Remove an entry, with another prefix if one is given; return whether it existed."""
    def _lifetime(self, timeout: float | None = ...) -> int | None:
        """Return the milliseconds that an entry with this timeout lives: None for ever, 0 not at all."""
    def clear(self) -> bool | None:
        """Empty the database, other applications' entries in it too, as Django does."""

class MemcachedCache(_Cache):
    """Memcached."""

    def clear(self) -> bool | None:
        """Empty all servers, other applications' entries in them too, as Django does."""

class FileBasedCache(_Cache):
    """Files in Django's format."""

    @property
    def _dir(self) -> str: ...
    def clear(self) -> None:
        """Remove every entry in the directory; other files stay."""

class LoopState:
    """The connections of one event loop."""

    def close(self) -> None:
        """Close them. A later operation on the loop opens new ones."""

# Each starts the operation on the running event loop; the future has what the method of the name returns. That of start_get is
# awaited, which gives None, and then asked for its result().
def start_get(cache: Any, key: Any, default: Any = None, version: Any = None) -> Future[Any]: ...
def start_set(cache: Any, key: Any, value: Any, timeout: float | None = ..., version: Any = None) -> Future[None]: ...
def start_add(cache: Any, key: Any, value: Any, timeout: float | None = ..., version: Any = None) -> Future[bool]: ...
def start_touch(cache: Any, key: Any, timeout: float | None = ..., version: Any = None) -> Future[bool]: ...
def start_delete(cache: Any, key: Any, version: Any = None) -> Future[bool]: ...
def start_has_key(cache: Any, key: Any, version: Any = None) -> Future[bool]: ...
def start_ttl(cache: Any, key: Any, version: Any = None) -> Future[int | None]: ...
def start_incr(cache: Any, key: Any, delta: int = 1, version: Any = None) -> Future[int]: ...
def start_get_many(cache: Any, keys: Iterable[Any], version: Any = None) -> Future[dict[Any, Any]]: ...
def start_set_many(
    cache: Any, data: Mapping[Any, Any], timeout: float | None = ..., version: Any = None, invited: bool = False
) -> Future[list[Any]]: ...
def start_delete_many(cache: Any, keys: Iterable[Any], version: Any = None) -> Future[None]: ...
def invite(cache: Any) -> None:
    """Let the next that waits for room go on; called by whoever has waited."""

def start_clear(cache: Any) -> Future[bool | None]: ...
def run_commands(cache: Any, name: str, given: Iterable[Iterable[Any]], manner: Any) -> list[Any] | None:
    """Send commands in one round trip; return one reply a command, or None after an error that the settings ignore.

    ``name`` is the operation in messages, ``manner`` a ``pinyon.django.redis_methods.plan.Request``.
    """

def start_commands(cache: Any, name: str, given: Iterable[Iterable[Any]], manner: Any) -> Future[list[Any] | None]: ...
def is_divided(cache: Any) -> bool:
    """Return whether several servers share the keys of a Redis cache: a Redis Cluster, or a ring of servers."""

def count_groups(cache: Any, name: str) -> list[int] | None:
    """Return how many primaries share the keys, in a list; None after an error that the settings ignore."""

def start_count_groups(cache: Any, name: str) -> Future[list[int] | None]: ...
def encode(cache: Any, value: Any, raw_integers: bool = True) -> bytes:
    """Return a value as the cache stores it; with ``raw_integers``, integers as digits."""

def decode(cache: Any, key: str, data: bytes | None, raw_integers: bool = True) -> Any:
    """Return the value of what ``encode`` made; None for None, and for what cannot be read, which is counted."""

class StoreView:
    """A read-only view of a memory store under the names of Django's private attributes."""

    def __getitem__(self, key: str) -> Any: ...
    def __contains__(self, key: str) -> bool: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[str]: ...
    def keys(self) -> list[str]: ...
    def locked(self) -> bool:
        """Return whether some thread holds the store's lock at this moment."""
