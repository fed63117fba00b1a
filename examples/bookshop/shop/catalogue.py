"""The shop's stock: generated, and the same on every machine."""

import random
import re
from datetime import date, timedelta
from itertools import count, islice

from django.db import connection, transaction

from shop import words
from shop.models import Author, Book, Category, Sale

BOOKS = 50_000
BOOKS_PER_AUTHOR = 20
BATCH = 5_000
SEED = 1815
FIRST_DAY = date(2025, 1, 1)
A_BEFORE_VOWEL = re.compile(r"(?<=\b[Aa])(?= [AEIOU])")


def is_present(books=BOOKS):
    """Whether the database holds exactly this many books."""
    return Book.objects.count() == books


def make(books=BOOKS, on_progress=lambda done: None):
    """Replaces the stock with `books` generated books, their authors and sales.

    All or nothing: an interrupted run leaves the database as it was. `on_progress` is called with the number of
    books done so far.
    """
    chance = random.Random(SEED)
    with transaction.atomic():
        for model in (Sale, Book, Author):
            # The rows go in one statement; `delete()` would look at each of them first.
            model.objects.all()._raw_delete(connection.alias)
        authors = max(1, books // BOOKS_PER_AUTHOR)
        Author.objects.bulk_create(_author(chance, pk) for pk in range(1, authors + 1))
        stock = (_book(chance, pk, authors) for pk in range(1, books + 1))
        # Keys are given here, or a second stock would be numbered on from the first.
        sale_pks = count(1)
        done = 0
        while batch := list(islice(stock, BATCH)):
            Book.objects.bulk_create(batch)
            Sale.objects.bulk_create([sale for book in batch for sale in _sales(chance, book, sale_pks)])
            done += len(batch)
            on_progress(done)


def _author(chance, pk):
    name = f"{chance.choice(words.FIRST_NAMES)} {chance.choice(words.LAST_NAMES)}"
    return Author(pk=pk, name=name, born=chance.randrange(1930, 2001))


def _book(chance, pk, authors):
    category = chance.choice(Category.values)
    return Book(
        pk=pk,
        title=_title(chance, category),
        author_id=chance.randint(1, authors),
        category=category,
        published=chance.randrange(1985, 2026),
        pages=chance.randrange(96, 720, 8),
        price_cents=chance.randrange(6, 38) * 100 + chance.choice((50, 90, 95, 99)),
    )


def _title(chance, category):
    pattern = chance.choice(words.TITLES[category])
    noun, other = chance.sample(words.NOUNS, 2)
    title = pattern.format(
        adjective=chance.choice(words.ADJECTIVES),
        noun=noun,
        other=other,
        place=chance.choice(words.PLACES),
        name=chance.choice(words.FIRST_NAMES),
    )
    return A_BEFORE_VOWEL.sub("n", title)


def _sales(chance, book, pks):
    # Few books sell much and most sell little, as in any shop: both draws have a long tail.
    for _ in range(min(40, int(chance.paretovariate(1.3)))):
        yield Sale(
            pk=next(pks),
            book=book,
            sold_on=FIRST_DAY + timedelta(days=chance.randrange(365)),
            copies=min(400, int(chance.paretovariate(1.1))),
        )
