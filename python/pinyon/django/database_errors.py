"""What an error of a database means for a cache in it."""

from __future__ import annotations

import functools
from typing import Any

from django.db import Error, InterfaceError, OperationalError

from pinyon.exceptions import CacheConnectionError, CacheError, CacheServerError

#: "There is no such table", and "the transaction lost against another one and may be tried again".
_NO_TABLE = {"42P01", 1146, 942}
_LOST = {"40001", "40P01", 1213}


def is_missing_table(error: Error) -> bool:
    """Return whether the cache's table does not exist."""
    return _code(error) in _NO_TABLE or str(error).startswith("no such table")


def is_lost_race(error: Error) -> bool:
    """Return whether a deadlock was resolved, or a serialization refused, at the cost of this statement."""
    return _code(error) in _LOST


def is_disconnected(error: Error, connection: Any) -> bool:
    """Return whether there is no connection to the database, or none any more."""
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if connection.connection is None:
        return True
    # In a failed transaction PostgreSQL answers nothing, but its drivers know whether they are connected.
    closed = getattr(connection.connection, "closed", None)
    if closed is not None:
        return bool(closed)
    try:
        return not connection.is_usable()
    except Exception:  # each driver has its own ways to be disconnected
        return True


def explain(error: Error, alias: str | None, operation: str, connection: Any, table: str) -> CacheError:
    """Return the error to raise in place of the database's.

    It is both Pinyon's and the class of Django's that it stands for, so that a site that catches either catches it. The
    database's own words may quote a row, so they are in ``__cause__`` only.
    """
    kind: Any = CacheServerError
    django: Any = type(error)
    if is_disconnected(error, connection):
        kind, what = CacheConnectionError, "the database cannot be reached"
        hint = f"Check DATABASES['{connection.alias}'] and that the server runs"
    elif is_missing_table(error):
        what = f"the table '{table}' does not exist"
        hint = f"Run manage.py createcachetable --database {connection.alias}"
    else:
        code = _code(error)
        what = f"the database refused a statement ({type(error).__name__}{'' if code is None else f' {code}'})"
        hint = "The cause of this exception has the database's words"
    place = f"database '{connection.alias}'"
    raised = _both(kind, django)(f"cache '{alias or '?'}', {operation} on {place}: {what}. {hint}")
    raised.alias, raised.server, raised.operation, raised.hint = alias, place, operation, hint
    return raised


@functools.cache
def _both(ours: Any, theirs: Any) -> type[CacheError]:
    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__doc__": ours.__doc__})


def _code(error: Error) -> Any:
    """The driver's code for the error: a number from MySQL, MariaDB and Oracle, SQLSTATE from PostgreSQL."""
    cause = error.__cause__
    first = cause.args[0] if cause is not None and cause.args else None
    if isinstance(first, int):
        return first
    return getattr(first, "code", None) or getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None)
