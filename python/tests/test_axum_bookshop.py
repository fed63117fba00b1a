"""The Rust service of examples/axum_bookshop and the Django site of examples/bookshop, on one Redis."""

import json
import os
import pickle
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.pinyon_only

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ROOT / "examples" / "bookshop"
CARGO = ["cargo", "build", "--quiet", "--message-format=json", "-p", "axum_bookshop"]

VISIT = """
import json, sys, django
django.setup()
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext, setup_test_environment
setup_test_environment()  # or a page would not tell its context
with CaptureQueriesContext(connection) as queries:
    page = Client().get(sys.argv[1])
figures = {name: page.context[name] for name in ("books", "totals", "views", "shelves") if name in page.context}
print(json.dumps({"queries": len(queries), **figures}, default=str))
"""


@pytest.fixture(scope="module")
def environment(redis_server, tmp_path_factory):
    """The environment of both, with a small shop in a database of its own."""
    made = {
        **os.environ,
        "BOOKSHOP": str(SITE),
        "BOOKSHOP_CACHE": "redis_cache",
        "BOOKSHOP_REDIS": f"redis://127.0.0.1:{redis_server.port}/9",
        "BOOKSHOP_DATABASE": str(tmp_path_factory.mktemp("bookshop") / "shop.sqlite3"),
        "BOOKSHOP_ADDRESS": "127.0.0.1:0",
        "DJANGO_SETTINGS_MODULE": "bookshop.settings",
    }
    for command in (["migrate"], ["make_books", "--books", "300"]):
        subprocess.run(
            [sys.executable, "manage.py", *command], cwd=SITE, env=made, check=True, stdout=subprocess.DEVNULL
        )
    return made


@pytest.fixture(scope="module")
def service(environment):
    """Fetches a page of the Rust service as the value of its JSON."""
    built = subprocess.run(CARGO, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    programs = [json.loads(line).get("executable") for line in built.splitlines()]
    (program,) = [found for found in programs if found]
    with subprocess.Popen([program], env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            address = process.stdout.readline().strip()

            def fetch(path):
                with urllib.request.urlopen(address + path, timeout=30) as answer:
                    return json.load(answer)

            yield fetch
        finally:
            process.kill()


@pytest.fixture
def site(environment):
    """Visits a page of the Django site, in a process of its own: its figures and how many queries they took."""

    def visit(path):
        command = [sys.executable, "-c", VISIT, path]
        done = subprocess.run(command, cwd=SITE, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(done.stdout)

    return visit


@pytest.fixture
def redis(redis_server):
    client = redis_server.client(db=9)
    client.flushdb()
    return client


def without_views(books):
    return [{name: value for name, value in book.items() if name != "views"} for book in books]


def test_what_the_site_has_cached_the_service_finds(site, service, redis):
    theirs = site("/bestsellers/crime/low-level/")
    assert theirs["queries"] > 0 and len(theirs["books"]) == 20
    # A mark that only the cache has.
    figures = pickle.loads(redis.get("bookshop:1:bestsellers:crime"))
    figures["books"][0]["title"] = "A title of the cache"
    redis.set("bookshop:1:bestsellers:crime", pickle.dumps(figures))
    ours = service("bestsellers/crime")
    assert ours["books"][0]["title"] == "A title of the cache"
    assert ours["books"][1:] == without_views(theirs["books"])[1:]
    assert ours["totals"] == theirs["totals"]


def test_what_the_service_has_cached_the_site_finds(site, service, redis):
    ours = service("bestsellers/fantasy")
    assert len(ours["books"]) == 20 and redis.exists("bookshop:1:bestsellers:fantasy")
    theirs = site("/bestsellers/fantasy/low-level/")
    assert theirs["queries"] == 0
    assert without_views(theirs["books"]) == ours["books"] and theirs["totals"] == ours["totals"]


def test_the_service_counts_what_the_site_would_count(site, service, redis):
    ours = service("bestsellers/nature")
    redis.flushdb()
    theirs = site("/bestsellers/nature/low-level/")
    assert without_views(theirs["books"]) == ours["books"] and theirs["totals"] == ours["totals"]


def test_a_view_counts_whoever_shows_the_book(site, service, redis):
    assert service("books/7")["views"] == 1
    assert site("/books/7/")["views"] == 2
    assert service("books/7")["views"] == 3


def test_shelves_are_counted_once_for_both(site, service, redis):
    shelves = service("")
    assert sum(shelves.values()) == 300
    theirs = site("/")
    assert theirs["queries"] == 0 and [count for _, count in theirs["shelves"]] == [
        shelves[category] for category in sorted(shelves)
    ]
