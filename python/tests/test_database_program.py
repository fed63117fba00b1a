"""One cache table in SQLite, shared by a Django site and the program `pinyon`, which is the Rust face: each reads the other."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLASSES = ["django.core.cache.backends.db.DatabaseCache", "pinyon.django.DatabaseCache"]

pytestmark = pytest.mark.pinyon_only


@pytest.fixture(scope="module")
def program():
    subprocess.run(["cargo", "build", "--quiet", "-p", "pinyon-cli"], cwd=ROOT, check=True, timeout=600)
    return ["cargo", "run", "--quiet", "-p", "pinyon-cli", "--"]


@pytest.fixture(params=CLASSES)
def shop(request, program, tmp_path):
    """`django(code)` runs it in a site of its own, `pinyon(*arguments)` the program, on one database; both return what they print."""
    database = tmp_path / "shop.sqlite3"
    (tmp_path / "shop_settings.py").write_text(
        f"DATABASES = {{'default': {{'ENGINE': 'django.db.backends.sqlite3', 'NAME': {str(database)!r}}}}}\n"
        f"CACHES = {{'default': {{'BACKEND': {request.param!r}, 'LOCATION': 'shop_cache', 'KEY_PREFIX': 'shop'}}}}\n"
        "USE_TZ = True\n"
    )
    settings = tmp_path / "caches.toml"
    settings.write_text(
        "[default]\nBACKEND = 'database'\nLOCATION = 'shop_cache'\nKEY_PREFIX = 'shop'\n"
        f"OPTIONS = {{ DATABASE_URL = 'sqlite://{database}' }}\n"
    )

    def run(command, **keywords):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **keywords)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def django(code):
        start = "import django; django.setup()\nfrom django.core.cache import cache\n"
        environment = {"DJANGO_SETTINGS_MODULE": "shop_settings", "PYTHONPATH": str(tmp_path)}
        return run([sys.executable, "-c", start + code], env=environment)

    def pinyon(*arguments):
        return run([*program, "--settings", str(settings), *arguments], cwd=ROOT)

    return django, pinyon


def test_the_program_reads_counts_and_writes_in_djangos_table(shop):
    django, pinyon = shop
    django("from django.core.management import call_command; call_command('createcachetable', verbosity=0)")
    django("cache.set('book', {'title': 'Walden', 'prices': [12, 15.5]}, 600); cache.set('sold', 41, None)")
    assert pinyon("get", "book") == "{'title': 'Walden', 'prices': [12, 15.5]}\n"
    assert pinyon("incr", "sold") == "42\n"
    pinyon("set", "greeting", "hello", "--timeout", "600")
    pinyon("set", "gone", "hello", "--timeout", "0")
    assert django("print(cache.get('sold'), cache.get('greeting'), cache.get('gone'))") == "42 hello None\n"


def test_django_uses_the_table_that_the_program_makes(shop):
    django, pinyon = shop
    pinyon("create-table")
    # Django sees that it is there, and makes nothing.
    django("from django.core.management import call_command; call_command('createcachetable', verbosity=0)")
    django("cache.set('key', ['from Django'], 600); assert cache.get('key') == ['from Django']")
    assert pinyon("get", "key") == "['from Django']\n"
    assert pinyon("delete", "key")
    assert django("print(cache.get('key'))") == "None\n"
