"""A table of the site's own database."""

from __future__ import annotations

import base64
import contextlib
import functools
import pickle
import random
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeVar

from django.conf import settings
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.db import BaseDatabaseCache
from django.db import Error, connections, router, transaction
from django.db.transaction import TransactionManagementError
from django.utils.timezone import now as present

from pinyon import _pinyon
from pinyon.django.asynchronous import in_sync_thread
from pinyon.django.base import Backend, logger
from pinyon.django.database_errors import explain, is_lost_race, is_missing_table
from pinyon.django.database_table import CacheTable, in_transaction
from pinyon.exceptions import CacheError, CacheServerError, NotAnIntegerError

Result = TypeVar("Result")

#: When a row without a timeout expires: Django's moment, in whatever time zone the database takes it for.
NEVER = datetime.max.replace(microsecond=0)
#: A process looks at the size of a table once in so many of its writes: MAX_ENTRIES divided by this.
COUNTS_PER_FILL = 16
#: How often a statement is tried that lost against another transaction, where no transaction of the caller's is at stake.
ATTEMPTS = 5

#: Writes left until this process counts again, by database and table.
_writes_left: dict[tuple[str, str], int] = {}


@in_sync_thread
class DatabaseCache(_pinyon.Backend, Backend, BaseDatabaseCache):
    """Stands in for ``django.core.cache.backends.db.DatabaseCache``.

    LOCATION names the table, which ``manage.py createcachetable`` makes; database routers say on which database. OPTIONS:
    MAX_ENTRIES (300), CULL_FREQUENCY (3), SERIALIZER ("pickle"), ON_BAD_VALUE ("miss"). DATABASE_URL is for the Rust crate and
    the program, and does nothing here: the connection is Django's own.
    """

    _backend_path = "pinyon.django.DatabaseCache"

    pickle_protocol = pickle.HIGHEST_PROTOCOL

    def _initialise(self, location: Any, params: dict[str, Any]) -> None:
        BaseDatabaseCache.__init__(self, location, params)

    def _configure(self, configuration: _pinyon.Configuration) -> None:
        """There is nothing to open."""

    # Reading

    def get(self, key: Any, default: Any = None, version: Any = None) -> Any:
        """Return the value, or ``default`` if there is none. A stored None is a value."""
        made = self._made_key(key, version)
        found = self._fetch([made])
        return found[made] if found else default

    def get_many(self, keys: Iterable[Any], version: Any = None) -> dict[Any, Any]:
        """Return the values that there are, by the keys as they were given. One query."""
        names = [(key, self._made_key(key, version)) for key in keys]
        found = self._fetch(list(dict.fromkeys(made for _, made in names)))
        return {key: found[made] for key, made in names if made in found}

    def has_key(self, key: Any, version: Any = None) -> bool:
        """Return whether there is an entry."""
        made = self._made_key(key, version)
        return self._read_table("has_key", lambda table: table.contains(made, present()))

    def ttl(self, key: Any, version: Any = None) -> int | None:
        """Return the seconds that an entry has left; None if it does not expire, 0 if there is none."""
        made = self._made_key(key, version)
        now = present()
        expires = self._read_table("ttl", lambda table: table.expiry(made, now, NEVER))
        if expires is not None:
            return max(0, int((expires - now).total_seconds() + 0.5))
        return None if self.has_key(key, version=version) else 0

    def _fetch(self, keys: list[str]) -> dict[str, Any]:
        if not keys:
            return {}
        rows = self._read_table("get", lambda table: table.fetch(keys, present()))
        found = {}
        for key, text in rows.items():
            value = self._decode(key, text)
            if value is not self._missing_key:
                found[key] = value
        self._configuration.found(len(found), len(keys) - len(found))
        return found

    # Writing

    def set(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> None:
        """Store the value for ``timeout`` seconds; None: for ever; 0 or less: not at all."""
        made = self._made_key(key, version)
        self._store({made: value}, timeout)

    def set_many(self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> list[Any]:
        """Store many values, hundreds in a statement; return the keys that were not stored."""
        names = [(key, self._made_key(key, version)) for key in data]
        refused = frozenset(self._store({made: data[key] for key, made in names}, timeout))
        return [key for key, made in names if made in refused]

    def add(self, key: Any, value: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """Store the value if the key has none; return whether it had none."""
        made = self._made_key(key, version)
        text, expires = self._encode(value), self._expires(timeout)
        self._cull_if_due(1)
        return self._write_table("add", False, lambda table: table.add(made, text, expires, present()))

    def touch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: Any = None) -> bool:
        """Give an existing entry a new timeout; return whether it existed."""
        made = self._made_key(key, version)
        expires = self._expires(timeout)
        return self._write_table("touch", False, lambda table: table.touch(made, expires, present()))

    def incr(self, key: Any, delta: Any = 1, version: Any = None) -> Any:
        """Add ``delta`` atomically and keep the timeout; return the sum. ValueError if the key has no value."""
        made = self._made_key(key, version)

        def add_up(table: CacheTable) -> Any:
            text = table.lock(made, present())
            value = self._missing_key if text is None else self._decode(made, text)
            if value is self._missing_key:
                raise ValueError(f"Key '{key}' not found")
            try:
                total = value + delta
            except TypeError as error:
                raise self._not_an_integer() from error
            table.replace_value(made, self._encode(total))
            return total

        return self._change_table("incr", add_up, whole=True)

    def delete(self, key: Any, version: Any = None) -> bool:
        """Remove an entry; return whether it existed."""
        made = self._made_key(key, version)

        # What has expired is as good as gone, but whoever deletes wants it off the disk too.
        return self._change_table("delete", lambda table: table.delete_one(made, present()))

    def delete_many(self, keys: Iterable[Any], version: Any = None) -> None:
        """Remove many entries, thousands in a statement."""
        made = {self._made_key(key, version) for key in keys}
        if made:
            self._change_table("delete_many", lambda table: table.delete(list(made)))

    def clear(self) -> None:
        """Empty the table, other caches' entries in it too, as Django does."""
        self._change_table("clear", CacheTable.clear)

    def stats(self) -> dict[str, int]:
        """Return what this cache has done in this process: ``hits``, ``misses``, ``bad_values``, ``errors``."""
        return self._configuration.stats()

    def _store(self, values: dict[str, Any], timeout: Any) -> list[str]:
        """Return the keys that were refused."""
        rows, expires = {key: self._encode(value) for key, value in values.items()}, self._expires(timeout)
        refused: list[str] = []
        if not rows:
            return refused
        self._cull_if_due(len(rows))
        for batch in [rows] if len(rows) == 1 else self._table_for_writing().batches(rows):
            if not self._write_table("set", False, functools.partial(_set, batch, expires)):
                refused.extend(batch)
        return refused

    # Values and moments

    def _encode(self, value: Any) -> str:
        serializer = self._configuration.serializer
        data = _pinyon.pickle_dumps(value, self.pickle_protocol) if serializer is None else serializer.dumps(value)
        return base64.b64encode(data).decode("ascii")

    def _decode(self, key: str, text: str) -> Any:
        """Return the value, or ``_missing_key`` for one that cannot be read."""
        serializer = self._configuration.serializer
        try:
            data = base64.b64decode(text, validate=True)
            return _pinyon.pickle_loads(data) if serializer is None else serializer.loads(data)
        except Exception as error:
            self._configuration.bad_value(key, error)
            return self._missing_key

    def _expires(self, timeout: Any) -> datetime:
        """When an entry expires: whole seconds, as Django writes them."""
        moment = self.get_backend_timeout(timeout)
        if moment is None:
            return NEVER
        zone = timezone.utc if settings.USE_TZ else None
        try:
            return datetime.fromtimestamp(max(moment, 0), tz=zone).replace(microsecond=0)
        except (OverflowError, ValueError, OSError):
            return NEVER  # after the year 9999

    def _not_an_integer(self) -> NotAnIntegerError:
        alias, hint = self._alias(), "Set the key to one first"
        message = f"cache '{alias or '?'}', incr: the value stored under this key is not a number. {hint}"
        raised = NotAnIntegerError(message)
        raised.alias, raised.operation, raised.hint = alias, "incr", hint
        return raised

    # Size

    def _cull_if_due(self, writes: int) -> None:
        """Count the table once in a while, and make room if it has too many rows. Never the caller's problem."""
        place = (router.db_for_write(self.cache_model_class), self._table)
        period = max(1, self._max_entries // COUNTS_PER_FILL)
        # A process that writes little shall count as often, for its size, as one that writes much.
        left = _writes_left.get(place) or random.randint(1, period)
        left = (left if left < period else period) - writes
        _writes_left[place] = left if left > 0 else period
        if left <= 0:
            self._write_table("cull", None, self._cull_table)

    def _cull_table(self, table: CacheTable) -> None:
        rows = table.count()
        if rows <= self._max_entries:
            return
        if self._cull_frequency == 0:
            table.clear()
            return
        rows -= table.delete_expired(present())
        if rows > self._max_entries:
            table.delete_soonest(rows // self._cull_frequency)

    # The database

    def _table_for_writing(self) -> CacheTable:
        return CacheTable.on(connections[router.db_for_write(self.cache_model_class)], self._table)

    def _read_table(self, operation: str, read: Callable[[CacheTable], Result]) -> Result:
        table = CacheTable.on(connections[router.db_for_read(self.cache_model_class)], self._table)
        try:
            return read(table)
        except TransactionManagementError:
            raise
        except Error as error:
            raise self._explain(error, operation, table) from error

    def _change_table(self, operation: str, change: Callable[[CacheTable], Result], whole: bool = False) -> Result:
        """Change the table; in the caller's transaction behind a savepoint, so that a failure does not end it.

        Without one in a transaction of its own if the change must be done as a whole or not at all.
        """
        table = self._table_for_writing()
        for attempts_left in reversed(range(ATTEMPTS)):
            inside = False
            try:
                inside = in_transaction(table.connection)
                with transaction.atomic(using=table.connection.alias) if inside or whole else contextlib.nullcontext():
                    return change(table)
            except TransactionManagementError:
                raise
            except Error as error:
                # A transaction of the caller's is the caller's to repeat.
                if inside or not attempts_left or not is_lost_race(error):
                    raise self._explain(error, operation, table) from error
        raise AssertionError("the last attempt returned or raised")

    def _write_table(self, operation: str, refused: Result, write: Callable[[CacheTable], Result]) -> Result:
        """As `_change_table`; but what the database refuses is not stored, counted, and logged the first time, as in Django."""
        try:
            return self._change_table(operation, write)
        except CacheServerError as error:
            if not isinstance(error.__cause__, Error) or is_missing_table(error.__cause__):
                raise
            if self._configuration.failed():
                logger.warning("%s. Further ones are counted in stats() as errors and not logged.", error)
            return refused

    def _explain(self, error: Error, operation: str, table: CacheTable) -> CacheError:
        return explain(error, self._alias(), operation, table.connection, self._table)


def _set(rows: dict[str, str], expires: datetime, table: CacheTable) -> bool:
    table.set(rows, expires)
    return True
