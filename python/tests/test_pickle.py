"""Pickles of plain data, which Rust writes and reads: the bytes and the values are those of Python's `pickle`."""

import collections
import datetime
import enum
import pickle
import random
import string

import pinyon.django  # noqa: F401  (it gives the extension what it needs of Django)
import pytest
from pinyon import _pinyon

pytestmark = pytest.mark.pinyon_only

ALPHABET = string.ascii_letters + string.digits + "éß日本😀\x00\n"
# An `r` lets Python's own pickle set aside gigabytes for what it has to remember.
HARMLESS = bytes(set(range(256)) - set(b"r"))
INTEGERS = sorted(
    {sign * (base + delta) for power in range(72) for base in [2**power] for delta in (-1, 0, 1) for sign in (1, -1)}
)


class Text(str):
    pass


class Colour(enum.IntEnum):
    RED = 1


PLAIN = [
    *(None, True, False, 0.0, -0.0, 1.5, float("inf"), float("nan"), 1e-320),
    *("", "a", "é" * 200, "x" * 255, "x" * 256, "x" * 70_000, "\x00", b"", b"a", b"x" * 255, b"x" * 256, b"x" * 70_000),
    *((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4), [], [1], [1, 2], {}, {1: 2}, {1: 2, 3: 4}),
    *([0] * length for length in (999, 1000, 1001, 2000, 2001)),
    *(dict.fromkeys(range(length)) for length in (999, 1000, 1001, 2000, 2001)),
    *(list(map(str, range(length))) for length in (255, 256, 257, 300)),
    [[[[[[{"a": ({"b": [()]},)}]]]]]],
]
OTHER = [
    *("\ud800", Text("a"), Colour.RED, {1, 2}, frozenset([1]), bytearray(b"a"), 2**63, -(2**63) - 1, 2**200, 1j),
    *(datetime.date(2026, 1, 2), collections.OrderedDict(a=1), [object], {"a": [Text("b")]}, range(3), [2**70]),
]


def shared():
    one, text, many = ["x"], "t" * 10, [1, 2]
    yield [one, one, text, text, {"a": one, "b": text}, (one, text), (one, text)]
    yield [many] * 300 + [[number] for number in range(300)] + [many]
    pair = (1, [2])
    yield [pair, pair, {pair[0]: pair}]
    yield ["x" * 3, "".join(["x", "xx"])]


def recursive():
    itself = []
    itself.append(itself)
    yield itself
    dictionary = {}
    dictionary["self"] = [dictionary, (dictionary,)]
    yield dictionary
    inner = []
    pair = (inner, inner)
    inner.extend([pair, pair])
    yield pair
    deep = []
    for _ in range(200):
        deep = [deep]
    yield deep


def anything(generator, depth=0):
    kind = generator.randrange(11 if depth < 4 else 7)
    if kind == 0:
        return generator.choice([None, True, False])
    if kind == 1:
        return generator.choice(INTEGERS)
    if kind == 2:
        return generator.uniform(-1e9, 1e9)
    if kind in (3, 4):
        return "".join(generator.choices(ALPHABET, k=generator.randrange(20)))
    if kind == 5:
        return generator.randbytes(generator.randrange(20))
    if kind == 6:
        return generator.randrange(-300, 70_000)
    items = [anything(generator, depth + 1) for _ in range(generator.choice([0, 1, 2, 3, 4, 12]))]
    if items and generator.random() < 0.3:
        items.append(generator.choice(items))
    if kind == 7:
        return items
    if kind == 8:
        return tuple(items)
    return {"".join(generator.choices(ALPHABET, k=3)): item for item in items}


@pytest.mark.parametrize("protocol", [4, 5, -1])
def test_what_is_written_is_what_pickle_writes(protocol):
    for value in [*PLAIN, *OTHER, *INTEGERS, *shared()]:
        assert _pinyon.pickle_dumps(value, protocol) == pickle.dumps(value, protocol), repr(value)[:100]
    for value in recursive():
        assert _pinyon.pickle_dumps(value, protocol) == pickle.dumps(value, protocol)


@pytest.mark.parametrize("protocol", range(6))
def test_what_pickle_wrote_is_read(protocol):
    for value in [*PLAIN, *OTHER, *INTEGERS, *shared()]:
        read = _pinyon.pickle_loads(pickle.dumps(value, protocol))
        assert repr(read) == repr(value)
        assert type(read) is type(value)


def test_random_values_are_written_and_read_as_by_pickle():
    for seed in range(3000):
        value = anything(random.Random(seed))
        written = _pinyon.pickle_dumps(value, 5)
        assert written == pickle.dumps(value, 5), seed
        assert repr(_pinyon.pickle_loads(written)) == repr(value), seed


def test_references_come_back_as_references():
    for value in shared():
        assert pickle.dumps(_pinyon.pickle_loads(pickle.dumps(value, 5)), 5) == pickle.dumps(value, 5)
    itself = _pinyon.pickle_loads(pickle.dumps(next(recursive()), 5))
    assert itself[0] is itself


def test_broken_pickles_end_as_with_pickle():
    generator = random.Random(1)
    for seed in range(2000):
        raw = bytearray(pickle.dumps(anything(random.Random(seed)), 5))
        for _ in range(generator.randrange(1, 4)):
            change = generator.randrange(3)
            place = generator.randrange(len(raw)) if raw else 0
            if change == 0:
                raw[place : place + 1] = bytes(
                    [generator.choice(b"()NKJMGX}]aesut.hq\x85\x86\x87\x88\x89\x8a\x8c\x94\x95")]
                )
            elif change == 1:
                del raw[place:]
            else:
                raw.insert(place, generator.choice(HARMLESS))
        assert outcome(_pinyon.pickle_loads, bytes(raw)) == outcome(pickle.loads, bytes(raw)), (seed, bytes(raw))


def outcome(loads, raw):
    try:
        return repr(loads(raw))
    except RecursionError:
        return "too deep"
    except Exception as error:
        return type(error).__name__
