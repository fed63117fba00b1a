"""The classes and values that the tests put into caches; importable, so that any process can unpickle them."""

import datetime
import decimal
import enum
import os
import pickle


class Colour(enum.IntEnum):
    RED = 1
    GREEN = 2


class Count(int):
    """An int subclass."""


class Book:
    """Like a model instance: attributes, equality by primary key, a reference to another one."""

    def __init__(self, pk, title, sequel=None):
        self.pk = pk
        self.title = title
        self.sequel = sequel

    def __eq__(self, other):
        return isinstance(other, Book) and (self.pk, self.title, self.sequel) == (other.pk, other.title, other.sequel)

    def __hash__(self):
        return hash(self.pk)


class Unpicklable:
    def __getstate__(self):
        raise pickle.PicklingError("this one does not travel")


class Interrupting:
    """Runs `action` while it is being pickled."""

    def __init__(self, action):
        self.action = action

    def __getstate__(self):
        self.action()
        return {}


VALUES = {
    "none": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "minus one": -1,
    "48 is the byte 0": 48,
    "63 bits": 2**63 - 1,
    "64 bits": 2**63,
    "70 bits": 2**70,
    "minus 70 bits": -(2**70),
    "float": 1700000000.5,
    "negative zero": -0.0,
    "infinity": float("inf"),
    "str": "abc",
    "empty str": "",
    "unicode str": "Iñtërnâtiônàlizætiøn 日本 😀",
    "digits str": "5",
    "underscore digits str": "1_000",
    "lines str": "a\r\nEND\r\nb\0c",
    "300 chars": "x" * 300,
    "bytes": b"abc",
    "empty bytes": b"",
    "digits bytes": b"12",
    "all bytes": bytes(range(256)),
    "pickle in bytes": pickle.dumps({"a": 1}, 5),
    "list": [1, "two", 3.0, None],
    "dict": {"a": 1, "b": [2, 3], 4: {"c": "d"}},
    "empty dict": {},
    "tuple": (1, 2),
    "set": {1, 2, 3},
    "frozenset": frozenset("a"),
    "datetime": datetime.datetime(2026, 2, 28, 12, 30, 15, 123456),
    "aware datetime": datetime.datetime(2026, 2, 28, 12, 30, tzinfo=datetime.timezone.utc),
    "date": datetime.date(2026, 2, 28),
    "timedelta": datetime.timedelta(days=-1, microseconds=1),
    "decimal": decimal.Decimal("12.3400"),
    "instance": Book(1, "One", Book(2, "Two")),
    "class": Book,
    "int enum": Colour.GREEN,
    "int subclass": Count(7),
    "big str": "é" * 150_000,
    "big bytes": os.urandom(300_000),
    "big list": list(range(50_000)),
}
