"""What is on the page: the same for the site that shows it and for the bench that checks it. It needs no Django."""

import zlib

from shop import words

VISITORS = 100
BOOKS = 200


def profile(visitor):
    return {"name": words.FIRST_NAMES[visitor % len(words.FIRST_NAMES)], "basket": [visitor, visitor + 1]}


def book(pk):
    return {"pk": pk, "title": f"{words.ADJECTIVES[pk % len(words.ADJECTIVES)]} Book", "price_cents": 900 + pk}


KNOWN_BOOKS = {f"book-{pk}": book(pk) for pk in range(BOOKS)}


def shelf(visitor):
    """The keys of the ten books that a visitor sees."""
    return [f"book-{(visitor * 10 + place) % BOOKS}" for place in range(10)]


def fragment(visitor):
    """16 KiB of HTML, another one for each visitor."""
    lines = (f"<li><a href='/books/{visitor}-{number}/'>{words.NOUNS[number % 40]}</a></li>\n" for number in range(500))
    return "".join(lines)[: 16 * 1024]


def content(visitor, known, books, visits, text):
    """The page, of what the cache had."""
    return {
        "visitor": visitor,
        "name": known["name"],
        "visits": visits,
        "titles": [books[key]["title"] for key in shelf(visitor)],
        # Cheap, and wrong if a byte is missing.
        "fragment": [len(text), zlib.crc32(text.encode())],
    }


def content_without_cache(visitor, fragments):
    """The same page with the same work, but for the cache."""
    return content(visitor, profile(visitor), KNOWN_BOOKS, 0, fragments[visitor])


def expected(visitor, visits):
    """The page as it has to be on the `visits`-th visit."""
    return content(visitor, profile(visitor), KNOWN_BOOKS, visits, fragment(visitor))
