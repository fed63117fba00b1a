"""The database cache on real databases: rows as Django writes and reads them, statements, transactions, errors."""

import base64
import datetime
import pickle

import pinyon
import pytest
from database_fixtures import rows
from django.db import DatabaseError, OperationalError, ProgrammingError, connections, transaction
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from payloads import VALUES, Book
from pinyon.django.database_table import CacheTable

pytestmark = pytest.mark.pinyon_only
BOTH_WAYS = pytest.mark.parametrize("writer", ["ours", "theirs"])
NEVER = "9999-12-31 23:59:59"


@pytest.fixture
def statements(connection):
    """`statements(call)`: the statements that the call made."""

    def count(call):
        with CaptureQueriesContext(connection) as captured:
            call()
        return [query["sql"] for query in captured.captured_queries]

    return count


@BOTH_WAYS
@pytest.mark.parametrize("use_tz", [False, True])
def test_rows_are_django_s_in_both_directions(make, writer, use_tz, connection):
    with override_settings(USE_TZ=use_tz):
        caches = make(TIMEOUT=None)
        write, read = (caches["ours"], caches["theirs"]) if writer == "ours" else (caches["theirs"], caches["ours"])
        for number, value in enumerate(VALUES.values()):
            write.set(f"value-{number}", value, 600)
        for number, value in enumerate(VALUES.values()):
            found = read.get(f"value-{number}")
            assert type(found) is type(value)
            assert str(found) == str(value) if isinstance(value, float) else found == value
        write.set_many({"many": 1, "Book": Book(1, "One")}, 60)
        assert read.get("Book") == Book(1, "One")
        assert read.incr("many") == 2
        assert write.get("many") == 2
        assert write.touch("many", 0) is True
        assert read.get("many") is None
        assert write.add("many", "again") is True
        assert read.get("many") == "again"
        assert read.add("many", "no") is False
        assert write.delete("many") is True
        assert not read.has_key("many")


@pytest.mark.parametrize("use_tz", [False, True])
@pytest.mark.parametrize("timeout", [None, 100.7])
def test_a_row_is_byte_for_byte_what_django_writes(make, connection, use_tz, timeout):
    with override_settings(USE_TZ=use_tz):
        caches = make()
        written = {}
        for _ in range(5):  # again if the second turned between the two
            for name in "ours", "theirs":
                caches[name].set("key", {"a": (1, "b", None)}, timeout)
                written[name] = rows(connection, caches[name])
            if written["ours"] == written["theirs"]:
                break
        assert written["ours"] == written["theirs"]
        ((key, (value, expires)),) = written["ours"].items()
        assert key == ":1:key"
        assert value == base64.b64encode(pickle.dumps({"a": (1, "b", None)}, 5)).decode()
        if timeout is None:
            assert str(expires).startswith(NEVER)
        elif isinstance(expires, datetime.datetime):
            assert expires.microsecond == 0


@pytest.fixture
def long_before_counting(monkeypatch):
    """A process starts at a random place between two counts of the table; here, right after one."""
    monkeypatch.setattr("random.randint", lambda _low, high: high)


@pytest.mark.usefixtures("long_before_counting")
def test_every_write_is_one_statement(ours, statements):
    ours.get("warm")
    ours._max_entries = 100_000
    assert len(statements(lambda: ours.set("key", 1))) == 1
    assert len(statements(lambda: ours.set("key", 2))) == 1
    assert len(statements(lambda: ours.add("new", 1))) == 1
    assert len(statements(lambda: ours.touch("key"))) == 1
    assert len(statements(lambda: ours.delete("key"))) == 1
    assert len(statements(lambda: ours.get("new"))) == 1
    assert len(statements(lambda: ours.has_key("new"))) == 1
    many = {f"key-{number}": number for number in range(300)}
    assert len(statements(lambda: ours.set_many(many))) == 1
    assert len(statements(lambda: ours.get_many(list(many)))) == 1
    assert ours.get_many(list(many)) == many
    assert len(statements(lambda: ours.delete_many(list(many)))) == 1
    assert ours.get_many(list(many)) == {}
    assert statements(lambda: ours.set_many({})) == statements(lambda: ours.delete_many([])) == []


def test_a_read_writes_nothing_and_still_sees_nothing_expired(ours, statements, connection):
    ours.set("expired", 1, 0)
    assert len(statements(lambda: ours.get_many(["expired", "missing"]))) == 1
    assert ours.get("expired") is None
    assert ours.has_key("expired") is False
    assert list(rows(connection, ours)) == [":1:expired"]
    # But whoever deletes wants it off the disk.
    assert ours.delete("expired") is False
    assert rows(connection, ours) == {}


def test_the_table_is_not_counted_with_every_write(ours, statements):
    ours._max_entries = 1600
    made = statements(lambda: [ours.set(f"key-{number}", number) for number in range(200)])
    assert len([statement for statement in made if "COUNT" in statement]) == 2


@pytest.mark.usefixtures("long_before_counting")
def test_many_keys_take_few_statements_and_lose_none(ours, statements):
    ours._max_entries = 1_000_000
    many = {f"key-{number:05}": number for number in range(2500)}
    assert len(statements(lambda: ours.set_many(many))) <= 9
    assert ours.get_many(list(many)) == many
    large = {f"large-{number}": "x" * 700_000 for number in range(4)}
    assert len(statements(lambda: ours.set_many(large))) == 4
    assert ours.get_many(large) == large
    ours.delete_many(many)
    assert ours.get_many(many) == {}


def test_two_names_of_one_key_are_one_row(ours):
    assert ours.set_many({1: "number", "1": "text"}) == []
    assert ours.get_many([1, "1"]) == {1: "text", "1": "text"}


def test_an_expired_row_is_free_for_add_and_gone_for_touch_and_incr(ours):
    ours.set("key", 1, 0)
    assert ours.touch("key", 60) is False
    with pytest.raises(ValueError, match="'key' not found"):
        ours.incr("key")
    assert ours.get("key") is None
    assert ours.add("key", 2) is True
    assert ours.add("key", 3) is False
    assert ours.get("key") == 2


def test_incr_keeps_the_timeout(ours, connection):
    ours.set("key", 1, 1000)
    before = rows(connection, ours)[":1:key"][1]
    assert ours.incr("key", 5) == 6
    assert ours.decr("key") == 5
    assert rows(connection, ours)[":1:key"][1] == before
    assert 990 < ours.ttl("key") <= 1000
    ours.set("key", 1, None)
    ours.incr("key")
    assert ours.ttl("key") is None
    assert ours.ttl("missing") == 0


def test_culling_takes_what_expires_first(make):
    cache = make(OPTIONS={"MAX_ENTRIES": 12, "CULL_FREQUENCY": 3})["ours"]
    cache.set_many({f"late-{number}": number for number in range(6)}, None)
    cache.set_many({f"soon-{number}": number for number in range(7)}, 60)
    cache.set("new", 1)
    assert len(cache.get_many([f"late-{number}" for number in range(6)])) == 6
    assert len(cache.get_many([f"soon-{number}" for number in range(7)])) == 3
    cache.set("expired", 1, 0)
    cache.set_many({f"more-{number}": number for number in range(3)})
    cache.set("newest", 1)
    assert len(cache.get_many([f"late-{number}" for number in range(6)])) == 6
    assert cache.get("newest") == 1


def test_keys_that_a_collation_takes_for_equal_are_not(ours):
    ours.set("key", "small")
    assert ours.get("KEY") is None
    assert ours.has_key("KEY") is False
    assert ours.touch("KEY") is False
    assert ours.delete("KEY") is False
    assert ours.get("key") == "small"
    with pytest.raises(ValueError, match="not found"):
        ours.incr("KEY")
    # One of them may be lost on MySQL, but neither is ever read as the other.
    ours.set("KEY", "large")
    assert ours.get("KEY") == "large"
    assert ours.get("key") in ("small", None)
    assert ours.add("Key", "third") is True
    assert ours.get("Key") == "third"
    ours.delete_many(["kEY"])
    assert ours.get("Key") == "third"


@pytest.mark.parametrize("text", ["no base64!", base64.b64encode(b"\x80\x05no pickle").decode(), ""])
def test_a_row_that_cannot_be_read_is_a_miss_that_is_counted(make, text, connection):
    caches = make()
    ours = caches["ours"]
    ours.set("key", 1)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {connection.ops.quote_name(ours._table)} SET value = %s", [text])
    assert ours.get("key", "default") == "default"
    assert ours.stats()["bad_values"] == 1
    assert ours.get_or_set("key", 2) == 2
    assert ours.get("key") == 2
    strict = make(OPTIONS={"ON_BAD_VALUE": "raise"})["ours"]
    strict.set("key", 1)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {connection.ops.quote_name(strict._table)} SET value = %s", [text])
    with pytest.raises(pinyon.BadValueError):
        strict.get("key")


def test_hits_and_misses_are_counted(ours):
    ours.set("key", 1)
    ours.get_many(["key", "a", "b"])
    ours.get("key")
    stats = ours.stats()
    assert (stats["hits"], stats["misses"], stats["errors"]) == (2, 2, 0)


def test_a_timeout_beyond_the_calendar_is_for_ever(ours):
    ours.set("key", 1, 10**12)
    assert ours.get("key") == 1
    assert ours.ttl("key") is None
    ours.set("key", 1, -(10**12))
    assert ours.get("key") is None


def test_json_in_the_place_of_pickle(make, connection):
    cache = make(OPTIONS={"SERIALIZER": "json"})["ours"]
    cache.set("key", {"a": [1, None]})
    assert cache.get("key") == {"a": [1, None]}
    assert base64.b64decode(rows(connection, cache)[":1:key"][0]) == b'{"a": [1, null]}'


# Transactions and errors


def test_writes_belong_to_the_callers_transaction(ours, alias):
    ours.set("before", 1)
    with pytest.raises(RuntimeError), transaction.atomic(using=alias):
        ours.set("key", 1)
        ours.incr("before")
        assert ours.get("key") == 1
        raise RuntimeError
    assert ours.get("key") is None
    assert ours.get("before") == 1


def test_a_refused_write_leaves_the_callers_transaction_alone(ours, alias, connection, caplog):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE mine (n integer)")
    try:
        with transaction.atomic(using=alias), connection.cursor() as cursor:
            cursor.execute("INSERT INTO mine VALUES (1)")
            # No database takes a row that expires at no time.
            ours._expires = lambda timeout: None
            assert ours.set("key", 1) is None
            assert ours.add("key", 1) is False
            assert ours.set_many({"a": 1, "b": 2}) == ["a", "b"]
            cursor.execute("INSERT INTO mine VALUES (2)")
        with connection.cursor() as cursor:
            cursor.execute("SELECT n FROM mine ORDER BY n")
            assert [n for (n,) in cursor.fetchall()] == [1, 2]
        # To MySQL a row that cannot be inserted is one that is there already.
        assert ours.stats()["errors"] == (2 if connection.vendor == "mysql" else 3)
        (record,) = [record for record in caplog.records if record.name == "pinyon"]
        assert "'ours'" in record.getMessage() and "secret" not in record.getMessage()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE mine")


def test_a_missing_table_is_named_with_what_to_do(ours, connection):
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {connection.ops.quote_name(ours._table)}")
    for call in (
        lambda: ours.get("key"),
        lambda: ours.set("key", "secret"),
        lambda: ours.add("key", "secret"),
        lambda: ours.set_many({"key": "secret"}),
        lambda: ours.incr("key"),
        lambda: ours.delete("key"),
    ):
        with pytest.raises(pinyon.CacheServerError, match="createcachetable") as caught:
            call()
        assert isinstance(caught.value, OperationalError | ProgrammingError)
        assert "cache 'ours'" in str(caught.value) and ours._table in str(caught.value)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_a_database_that_is_gone_is_a_connection_error(ours, server, alias):
    ours.set("key", 1)
    server.stop()
    try:
        for _ in range(2):
            for call in lambda: ours.get("key"), lambda: ours.set("key", "secret"), lambda: ours.incr("key"):
                with pytest.raises(pinyon.CacheConnectionError, match=f"DATABASES\\['{alias}'\\]") as caught:
                    call()
                assert isinstance(caught.value, DatabaseError | OperationalError | ConnectionError)
                assert "secret" not in str(caught.value)
            connections[alias].close()
    finally:
        server.start()
    assert ours.get("key") == 1


@pytest.mark.parametrize("code", ["40P01", 1213])
def test_a_deadlock_is_tried_again_but_not_within_the_callers_transaction(ours, alias, monkeypatch, code):
    deadlocks = []

    def touch(table, *arguments):
        if len(deadlocks) < 2:
            deadlocks.append(table)
            cause = Exception(code)
            cause.sqlstate = code
            raise OperationalError from cause
        return True

    monkeypatch.setattr(CacheTable, "touch", touch)
    assert ours.touch("key") is True
    assert len(deadlocks) == 2
    deadlocks.clear()
    with transaction.atomic(using=alias):
        assert ours.touch("key") is False
    assert len(deadlocks) == 1


def test_in_a_broken_transaction_it_says_so_as_django_does(ours, alias):
    with pytest.raises(transaction.TransactionManagementError), transaction.atomic(using=alias):
        transaction.set_rollback(True, using=alias)
        ours.set("key", 1)


def test_without_an_upsert_it_works_in_djangos_way(ours, connection, monkeypatch):
    monkeypatch.setattr(connection.features, "supports_update_conflicts", False)
    monkeypatch.setattr(connection.features, "supports_update_conflicts_with_target", False)
    for _ in range(2):
        ours.set("key", 1)
        ours.set_many({"a": 1, "b": 2})
    assert ours.get_many(["key", "a", "b"]) == {"key": 1, "a": 1, "b": 2}
    assert ours.add("key", 2) is False
    assert ours.add("new", 2) is True
    ours.set("gone", 1, 0)
    assert ours.add("gone", 2) is True
    with transaction.atomic(using=connection.alias):
        assert ours.add("key", 2) is False
        assert ours.get("gone") == 2
