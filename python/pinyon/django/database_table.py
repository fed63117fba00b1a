"""The table of a database cache: its SQL, for every database that Django knows.

Keys are made, values are text, and moments are what ``DateTimeField`` writes. Nothing here knows caches or catches errors,
but the one error that means "somebody was faster".
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models.constants import OnConflict

#: Keys in one statement, where the database sets no lower limit.
MAX_KEYS = 10_000
#: Rows and characters of values in one statement: MySQL and MariaDB take 16 MiB, and a longer one is held in memory twice.
MAX_ROWS = 500
MAX_CHARACTERS = 1 << 20
#: Moments in the form of the database that a table keeps: the present second, and when what is written in it expires.
MAX_MOMENTS = 16
SECOND = timedelta(seconds=1)


class CacheTable:
    """The table ``name`` on a connection of Django's."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self._features = connection.features
        quote = connection.ops.quote_name
        self._table, self._key, self._value, self._expires = map(quote, (name, "cache_key", "value", "expires"))
        # MySQL's usual collations take "key", "KEY" and "key " for one key: what was found must be compared again.
        self._folds = connection.vendor == "mysql"
        self._moments: dict[tuple[datetime, Any], Any] = {}

    @classmethod
    def on(cls, connection: Any, name: str) -> CacheTable:
        """The table, kept with the connection: what its statements say is put together once."""
        kept = connection.__dict__.get("_pinyon_tables")
        if kept is None:
            kept = connection.__dict__["_pinyon_tables"] = {}
        table: CacheTable | None = kept.get(name)
        if table is None:
            table = kept[name] = cls(connection, name)
        return table

    # Reading

    def fetch(self, keys: Sequence[str], now: datetime) -> dict[str, str]:
        """Return the values that have not expired, by key."""
        moment = self._now(now)
        if len(keys) == 1:
            rows = self._select(self._fetch_one, [keys[0], moment])
        else:
            rows = []
            for some in _slices(keys, self._max_keys()):
                rows += self._select(self._fetch_in(_places(some)), [*some, moment])
        process, wanted = self.connection.ops.process_clob, set(keys)
        return {key: process(value) for key, value in rows if key in wanted}

    def contains(self, key: str, now: datetime) -> bool:
        """Return whether there is a row that has not expired."""
        rows = self._select(self._contains, [key, self._now(now)])
        return any(found == key for (found,) in rows)

    def expiry(self, key: str, now: datetime, never: datetime) -> datetime | None:
        """Return when a row expires; None for one that never does, has expired, or is not there."""
        # "Never" is not read but asked for: in some time zones a driver cannot make a datetime of it.
        rows = self._select(
            f"SELECT {self._key}, {self._expires} FROM {self._table} "
            f"WHERE {self._key} = %s AND {self._expires} >= %s AND {self._expires} < %s",
            [key, self._now(now), self._moment(never)],
        )
        expression = models.Expression(output_field=models.DateTimeField())
        converters = self.connection.ops.get_db_converters(expression) + expression.get_db_converters(self.connection)
        for found, moment in rows:
            if found == key:
                for convert in converters:
                    moment = convert(moment, expression, self.connection)
                expires: datetime = moment
                return expires
        return None

    def count(self) -> int:
        """Return the number of rows, expired ones too."""
        ((rows,),) = self._select(f"SELECT COUNT(*) FROM {self._table}", [])
        return int(rows)

    # Writing

    def batches(self, rows: dict[str, str]) -> Iterator[dict[str, str]]:
        """Divide rows into as many as one statement takes.

        In the order of their keys: two processes that write the same rows lock them in the same order.
        """
        limit = min(MAX_ROWS, (self._features.max_query_params or MAX_ROWS * 3) // 3)
        if not self._features.supports_update_conflicts:
            limit = 1
        batch: dict[str, str] = {}
        characters = 0
        for key in sorted(rows):
            size = len(key) + len(rows[key])
            if batch and (len(batch) >= limit or characters + size > MAX_CHARACTERS):
                yield batch
                batch, characters = {}, 0
            batch[key] = rows[key]
            characters += size
        if batch:
            yield batch

    def set(self, rows: dict[str, str], expires: datetime) -> None:
        """Write one batch, in one statement where the database has an upsert."""
        if self._features.supports_update_conflicts:
            moment = self._moment(expires)
            parameters = [parameter for key, value in rows.items() for parameter in (key, value, moment)]
            self._run(self._set_one if len(rows) == 1 else self._set_rows(len(rows)), parameters)
            return
        for key, value in rows.items():
            if not self._replace(key, value, expires) and not self._insert(key, value, expires):
                # Inserted by somebody else between the two.
                self._replace(key, value, expires)

    def add(self, key: str, value: str, expires: datetime, now: datetime) -> bool:
        """Write a row if there is none, or only an expired one; return whether it was written."""
        if self._features.supports_update_conflicts_with_target:
            return self._run(self._add, [key, value, self._moment(expires), self._now(now)]) > 0
        if self._insert(key, value, expires):
            return True
        free, parameters = f"{self._expires} < %s", [self._now(now)]
        if self._folds:
            free, parameters = f"({free} OR NOT {self._spelling(1)})", [*parameters, key]
        return self._replace(key, value, expires, f" AND {free}", parameters)

    def touch(self, key: str, expires: datetime, now: datetime) -> bool:
        """Change when a row expires that has not expired yet; return whether there was one."""
        return self._run(self._touch, [self._moment(expires), *self._names([key]), self._now(now)]) > 0

    def lock(self, key: str, now: datetime) -> str | None:
        """Return the value of a row that nobody else can change until the transaction ends."""
        statement = f"SELECT {self._key}, {self._value} FROM {self._table} WHERE {self._key} = %s"
        parameters = [key, self._now(now)]
        if self._features.has_select_for_update:
            rows = self._select(f"{statement} AND {self._expires} >= %s FOR UPDATE", parameters)
        else:
            # SQLite. Writing first takes the lock and waits for it; a transaction that has read first may not wait.
            touch = f"UPDATE {self._table} SET {self._expires} = {self._expires}"
            self._run(f"{touch} WHERE {self._key} = %s AND {self._expires} >= %s", parameters)
            rows = self._select(f"{statement} AND {self._expires} >= %s", parameters)
        return next((self.connection.ops.process_clob(value) for found, value in rows if found == key), None)

    def replace_value(self, key: str, value: str) -> None:
        """Change a value and leave alone when it expires."""
        statement = f"UPDATE {self._table} SET {self._value} = %s WHERE {self._is(1)}"
        self._run(statement, [value, *self._names([key])])

    def delete_one(self, key: str, now: datetime) -> bool:
        """Remove a row, expired or not; return whether there was one that had not expired."""
        moment = self._now(now)
        # SQLite has RETURNING too, and takes twice as long with it.
        if self.connection.vendor == "postgresql":
            return any(live for (live,) in self._select(self._delete_returning, [key, moment]))
        if self._run(self._delete_live, [*self._names([key]), moment]) > 0:
            return True
        self.delete([key])
        return False

    def delete(self, keys: Sequence[str]) -> None:
        """Remove rows, expired or not."""
        for some in _slices(sorted(keys), self._max_keys() // (2 if self._folds else 1)):
            doomed = self._is(len(some))
            if len(some) > 1:
                doomed = self._in_order(doomed, f"ORDER BY {self._key} FOR UPDATE")
            self._run(f"DELETE FROM {self._table} WHERE {doomed}", self._names(some))

    def delete_expired(self, now: datetime) -> int:
        """Remove expired rows and return how many there were; but on PostgreSQL those that somebody is writing just now."""
        doomed = self._in_order(f"{self._expires} < %s", "FOR UPDATE SKIP LOCKED")
        return self._run(f"DELETE FROM {self._table} WHERE {doomed}", [self._now(now)])

    def delete_soonest(self, number: int) -> None:
        """Remove the rows that would expire first."""
        limit = self.connection.ops.limit_offset_sql(0, number)
        skip = " FOR UPDATE SKIP LOCKED" if self.connection.vendor == "postgresql" else ""
        chosen = f"SELECT {self._key} FROM {self._table} ORDER BY {self._expires}, {self._key} {limit}{skip}"
        # Twice nested: MySQL cannot limit a subquery of IN, nor read the table that it deletes from.
        doomed = f"SELECT {self._key} FROM ({chosen}) doomed"
        self._run(f"DELETE FROM {self._table} WHERE {self._key} IN ({doomed})", [])

    def clear(self) -> None:
        """Remove all rows."""
        self._run(f"DELETE FROM {self._table}", [])

    # Statements that are kept

    @functools.cached_property
    def _fetch_one(self) -> str:
        return self._fetch_in("%s")

    @functools.cached_property
    def _contains(self) -> str:
        return f"SELECT {self._key} FROM {self._table} WHERE {self._key} = %s AND {self._expires} >= %s"

    @functools.cached_property
    def _set_one(self) -> str:
        return self._set_rows(1)

    @functools.cached_property
    def _add(self) -> str:
        upsert = f"{self._insert_into(1)} {self._on_conflict(['value', 'expires'])}"
        return f"{upsert} WHERE {self._table}.{self._expires} < %s"

    @functools.cached_property
    def _touch(self) -> str:
        return f"UPDATE {self._table} SET {self._expires} = %s WHERE {self._is(1)} AND {self._expires} >= %s"

    @functools.cached_property
    def _delete_returning(self) -> str:
        live = f"CASE WHEN {self._expires} >= %s THEN 1 ELSE 0 END"
        return f"DELETE FROM {self._table} WHERE {self._key} = %s RETURNING {live}"

    @functools.cached_property
    def _delete_live(self) -> str:
        return f"DELETE FROM {self._table} WHERE {self._is(1)} AND {self._expires} >= %s"

    # The parts of statements

    def _fetch_in(self, places: str) -> str:
        return (
            f"SELECT {self._key}, {self._value} FROM {self._table} "
            f"WHERE {self._key} IN ({places}) AND {self._expires} >= %s"
        )

    def _set_rows(self, rows: int) -> str:
        # Where keys fold, a row takes the spelling of the last writer, so that nobody reads another key's value.
        changed = [*(["cache_key"] if self._folds else []), "value", "expires"]
        return f"{self._insert_into(rows)} {self._on_conflict(changed)}"

    def _insert_into(self, rows: int) -> str:
        places = ", ".join(["(%s, %s, %s)"] * rows)
        return f"INSERT INTO {self._table} ({self._key}, {self._value}, {self._expires}) VALUES {places}"

    def _on_conflict(self, changed: list[str]) -> str:
        fields = ["cache_key", "value", "expires"]
        suffix: str = self.connection.ops.on_conflict_suffix_sql(fields, OnConflict.UPDATE, changed, ["cache_key"])
        return suffix

    def _insert(self, key: str, value: str, expires: datetime) -> bool:
        """Return False if there is a row with this key."""
        # A failed statement would end the caller's transaction on some databases.
        careful = transaction.atomic(using=self.connection.alias) if in_transaction(self.connection) else None
        try:
            with careful or contextlib.nullcontext():
                self._run(self._insert_into(1), [key, value, self._moment(expires)])
        except IntegrityError:
            return False
        return True

    def _replace(self, key: str, value: str, expires: datetime, condition: str = "", parameters: Any = ()) -> bool:
        changes = f"{self._key} = %s, {self._value} = %s, {self._expires} = %s"
        statement = f"UPDATE {self._table} SET {changes} WHERE {self._key} = %s{condition}"
        return self._run(statement, [key, value, self._moment(expires), key, *parameters]) > 0

    def _is(self, keys: int) -> str:
        """The condition that a row has one of so many keys, in exactly this spelling; its parameters are `_names`."""
        same = f"{self._key} IN ({_places(range(keys))})"
        return f"{same} AND {self._spelling(keys)}" if self._folds else same

    def _spelling(self, keys: int) -> str:
        return f"CAST(CONVERT({self._key} USING utf8mb4) AS BINARY) IN ({_places(range(keys))})"

    def _names(self, keys: Sequence[str]) -> list[Any]:
        return [*keys, *keys] if self._folds else [*keys]

    def _in_order(self, condition: str, locking: str) -> str:
        """On PostgreSQL: lock rows in the order of writers, not as they lie, so that no two wait for each other."""
        if self.connection.vendor != "postgresql":
            return condition
        return f"{self._key} IN (SELECT {self._key} FROM {self._table} WHERE {condition} {locking})"

    def _now(self, now: datetime) -> Any:
        # Rows expire at whole seconds, so that the next whole second decides as the present moment does.
        return self._moment(now.replace(microsecond=0) + SECOND if now.microsecond else now)

    def _moment(self, moment: datetime) -> Any:
        """What the database takes for a moment. That of the present second is kept."""
        case = moment, self.connection.timezone
        adapted = self._moments.get(case)
        if adapted is None:
            adapted = self.connection.ops.adapt_datetimefield_value(moment)
            if len(self._moments) >= MAX_MOMENTS:
                self._moments.clear()
            self._moments[case] = adapted
        return adapted

    def _max_keys(self) -> int:
        # One parameter is the present moment.
        limits = [self._features.max_query_params, self.connection.ops.max_in_list_size(), MAX_KEYS]
        return int(min(limit for limit in limits if limit)) - 1

    def _select(self, statement: str, parameters: list[Any]) -> list[Any]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def _run(self, statement: str, parameters: list[Any]) -> int:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return int(cursor.rowcount)


def in_transaction(connection: Any) -> bool:
    """Return whether the caller has a transaction open, which a failed statement must not take down."""
    return bool(connection.in_atomic_block or not connection.get_autocommit())


def _places(parameters: Any) -> str:
    return ", ".join(["%s"] * len(parameters))


def _slices(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
