"""The system checks of pinyon.django: each says what is wrong, and is silent where nothing is."""

import re
import socket
from pathlib import Path

import pytest
from backends import INCUMBENT, OTHERS, PINYON
from django.test import override_settings
from pinyon.django import checks
from servers import RedisServer
from site_process import manage

pytestmark = pytest.mark.pinyon_only

DOCS = Path(__file__).parents[2] / "docs"
MEMORY = {"BACKEND": PINYON["memory"], "LOCATION": "checks"}


def ids(messages):
    return [message.id for message in messages]


def redis(location, **changes):
    return {"BACKEND": PINYON["redis"], "LOCATION": location, **changes}


def test_right_settings_give_no_message(configure):
    configure({"default": redis("redis://127.0.0.1:1/0"), "other": MEMORY})
    assert checks.check_settings() + checks.check_collisions() == []


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({**MEMORY, "OPTIONS": {"MAX_ENTRY": 1}}, ["MAX_ENTRY", "MAX_ENTRIES"]),
        ({**MEMORY, "TIMEOUT": "soon"}, ["TIMEOUT"]),
        ({**MEMORY, "OPTION": {}}, ["OPTION"]),
        (redis("redis://h", OPTIONS={"socket_timout": 1}), ["socket_timout", "socket_timeout"]),
        (redis("http://h"), ["LOCATION"]),
        (redis("redis://h", OPTIONS={"serializer": "no.such.Serializer"}), ["no"]),
        ({"BACKEND": PINYON["memcached"], "LOCATION": "h:port"}, ["LOCATION", "port"]),
    ],
)
def test_e001_wrong_settings_are_errors_with_a_hint(configure, entry, named):
    configure({"default": MEMORY, "shelf": entry})
    (error,) = checks.check_settings()
    assert error.id == "pinyon.E001"
    assert error.is_serious()
    assert error.hint
    assert "'shelf'" in error.msg
    assert error.hint not in error.msg
    assert all(name in error.msg + error.hint for name in named)


def test_e001_never_shows_a_password(configure):
    configure({"default": redis("redis://:s3cret/1@host", OPTIONS={"pasword": "s3cret"})})
    (error,) = checks.check_settings()
    assert "s3cret" not in error.msg + error.hint


def test_e002_a_backend_that_cannot_be_imported(configure):
    configure({"default": MEMORY, "shelf": {"BACKEND": "no.such.Backend"}})
    (error,) = checks.check_settings()
    assert (error.id, "no.such.Backend" in error.msg) == ("pinyon.E002", True)


def test_other_backends_have_their_own_options(configure):
    configure({"default": {"BACKEND": INCUMBENT["redis"], "LOCATION": "redis://h", "OPTIONS": {"anything": 1}}})
    assert checks.check_settings() == []


def test_w004_an_option_that_does_nothing(configure):
    configure({"default": redis("redis://h", OPTIONS={"CLOSE_CONNECTION": True})})
    (warning,) = checks.check_settings()
    assert (warning.id, "CLOSE_CONNECTION" in warning.msg, bool(warning.hint)) == ("pinyon.W004", True, True)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("PARSER_CLASS", "redis.connection.DefaultParser"),
        ("CONNECTION_POOL_CLASS", "redis.BlockingConnectionPool"),
        ("CONNECTION_FACTORY", "shop.pool.ConnectionFactory"),
        ("REDIS_CLIENT_CLASS", "redis.client.StrictRedis"),
        ("REDIS_CLIENT_KWARGS", {"retry": None}),
    ],
)
def test_w004_classes_of_the_replaced_client(configure, option, value):
    configure({"default": redis("redis://h", OPTIONS={option: value})})
    (warning,) = checks.check_settings()
    assert (warning.id, f"'{option}' has no effect: " in warning.msg) == ("pinyon.W004", True)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("DJANGO_REDIS_CLOSE_CONNECTION", True), ("DJANGO_REDIS_CONNECTION_FACTORY", "shop.redis.Factory")],
)
def test_w004_settings_of_django_redis_that_do_nothing(configure, setting, value):
    def found(configured, value):
        configure(configured)
        with override_settings(**{setting: value}):
            return checks.check_settings()

    ours = {"default": redis("redis://h")}
    (warning,) = found(ours, value)
    assert (warning.id, warning.msg.startswith(f"{setting} has no effect: ")) == ("pinyon.W004", True)
    assert found(ours, None) == []
    # Where django-redis still runs, it reads them; where there is no Redis, nobody asks.
    assert found({**ours, "old": {"BACKEND": OTHERS["django_redis"], "LOCATION": "redis://h"}}, value) == []
    assert found({"default": MEMORY}, value) == []


@pytest.mark.parametrize("backend", [PINYON["memory"], INCUMBENT["memory"]])
def test_w001_the_default_cache_in_process_memory(configure, backend):
    configure({"default": {"BACKEND": backend}, "near": MEMORY})
    with override_settings(DEBUG=False):
        (warning,) = checks.check_workers()
    assert warning.id == "pinyon.W001"
    assert "'default'" in warning.msg
    assert "Redis" in warning.hint


def test_w001_is_silent_while_developing_and_in_tests(configure, monkeypatch):
    configure({"default": MEMORY})
    with override_settings(DEBUG=True):
        assert checks.check_workers() == []
    monkeypatch.setattr("django.core.mail.outbox", [], raising=False)
    with override_settings(DEBUG=False):
        assert checks.check_workers() == []


@pytest.mark.parametrize(
    ("engine", "expected"), [("cache", ["pinyon.W001"]), ("cached_db", ["pinyon.W001"]), ("db", [])]
)
def test_w001_sessions_in_process_memory(configure, engine, expected):
    configure({"default": redis("redis://h"), "sessions": MEMORY})
    engine = f"django.contrib.sessions.backends.{engine}"
    with override_settings(DEBUG=False, SESSION_ENGINE=engine, SESSION_CACHE_ALIAS="sessions"):
        found = checks.check_workers()
    assert ids(found) == expected
    assert all("session" in warning.msg for warning in found)


def outward_address():
    """This machine's address in its network; without one, nobody else can reach a server here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outward:
        try:
            outward.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine is in no network")
        return outward.getsockname()[0]


@pytest.fixture
def open_redis():
    with RedisServer("--bind", "0.0.0.0", "--protected-mode", "no") as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "outward"])
def test_w002_a_redis_that_answers_to_anybody(configure, open_redis, host):
    address = outward_address()
    configure({"default": redis(f"redis://{address if host == 'outward' else host}:{open_redis.port}/1")})
    (warning,) = checks.check_open_redis()
    assert warning.id == "pinyon.W002"
    assert f"{address}:{open_redis.port}" in warning.msg
    assert "requirepass" in warning.hint


def test_w002_finds_it_even_if_the_site_has_a_password_for_an_acl_user(configure, open_redis):
    with open_redis.client() as client:
        client.acl_setuser("site", enabled=True, passwords=["+s3cret"], categories=["+@all"], keys=["*"])
    configure({"default": redis(f"redis://site:s3cret@127.0.0.1:{open_redis.port}")})
    outward_address()
    (warning,) = checks.check_open_redis()
    assert "s3cret" not in warning.msg


def test_w002_is_silent_where_a_password_is_required(configure, open_redis):
    with open_redis.client() as client:
        client.config_set("requirepass", "s3cret")
    configure({"default": redis(f"redis://:s3cret@{outward_address()}:{open_redis.port}")})
    assert checks.check_open_redis() == []


def test_w002_is_silent_about_a_server_that_only_this_machine_reaches(configure, redis_server):
    configure({"default": redis(redis_server.url), "socket": redis("unix:///nowhere/redis.sock")})
    assert checks.check_open_redis() == []


@pytest.mark.parametrize(
    "one",
    [
        redis("redis://h:6379/1"),
        MEMORY,
        {"BACKEND": PINYON["memcached"], "LOCATION": ["h:1", "h:2"]},
        {"BACKEND": "pinyon.django.RedisCache", "LOCATION": "redis://h", "VERSION": "1"},
        {"BACKEND": INCUMBENT["redis"], "LOCATION": "redis://h/2"},
    ],
)
def test_w003_two_aliases_with_the_same_keys_in_the_same_store(configure, one):
    configure({"default": one, "other": dict(one)})
    (warning,) = checks.check_collisions()
    assert warning.id == "pinyon.W003"
    assert "'default'" in warning.msg
    assert "'other'" in warning.msg
    assert "KEY_PREFIX" in warning.hint


@pytest.mark.parametrize(
    "changes",
    [{"KEY_PREFIX": "other"}, {"VERSION": 2}, {"LOCATION": "redis://h:6379/2"}, {"KEY_FUNCTION": "site.keys.make"}],
)
def test_w003_is_silent_where_the_keys_differ(configure, changes):
    one = redis("redis://h:6379/1")
    configure({"default": one, "other": {**one, **changes}})
    assert checks.check_collisions() == []


def test_w003_sees_through_different_ways_of_writing_one_place(configure):
    configure(
        {
            "default": redis("redis://user:s3cret@h/1"),
            "other": redis(["rediss://h:6379", "rediss://replica:6379"], OPTIONS={"db": 1}),
            "memcached": {"BACKEND": PINYON["memcached"], "LOCATION": "h:1;h:2"},
            "memcached_too": {"BACKEND": INCUMBENT["memcached"], "LOCATION": ["h:2", "h:3"]},
        }
    )
    found = checks.check_collisions()
    assert [re.findall(r"'(\w+)'", warning.msg)[:2] for warning in found] == [
        ["default", "other"],
        ["memcached", "memcached_too"],
    ]
    assert "s3cret" not in "".join(warning.msg for warning in found)


def test_w003_leaves_dummies_alone(configure):
    configure({"default": {"BACKEND": "pinyon.django.DummyCache"}, "other": {"BACKEND": "pinyon.django.DummyCache"}})
    assert checks.check_collisions() == []


def test_manage_py_check_reports_and_can_be_silenced(tmp_path):
    wrong = {"default": {**MEMORY, "OPTIONS": {"MAX_ENTRY": 1}}, "other": {**MEMORY, "KEY_PREFIX": "other"}}
    done = manage(tmp_path, wrong, "check")
    assert done.returncode == 1
    assert "(pinyon.E001)" in done.stderr
    assert "MAX_ENTRIES" in done.stderr
    done = manage(tmp_path, wrong, "check", settings='SILENCED_SYSTEM_CHECKS = ["pinyon.E001", "pinyon.W001"]')
    assert (done.returncode, "pinyon." in done.stdout + done.stderr) == (0, False)


def test_the_app_can_be_imported_by_the_settings_and_has_no_models(tmp_path):
    settings = """
import pinyon.django
CACHES = pinyon.django.accelerate({"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}})
SILENCED_SYSTEM_CHECKS = ["pinyon.W001"]
"""
    code = (
        "from django.apps import apps; from django.core.cache import caches; "
        "print(apps.get_app_config('pinyon').name, len(apps.get_models()), type(caches['default']).__module__)"
    )
    assert "no issues" in manage(tmp_path, {}, "check", settings=settings).stdout
    done = manage(tmp_path, {}, "shell", "--command", code, settings=settings)
    assert done.stdout.splitlines()[-1:] == ["pinyon.django 0 pinyon.django.locmem"], done.stderr


def test_djangos_own_checks_of_caches_still_run(tmp_path):
    relative = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": "somewhere"}}
    assert "caches.W003" in manage(tmp_path, relative, "check").stderr
    assert "caches.E001" in manage(tmp_path, {"other": MEMORY}, "check").stderr
    gone = {"default": {"BACKEND": "no.such.Backend"}}
    for arguments in (["check"], ["check", "--deploy"]):
        done = manage(tmp_path, gone, *arguments)
        assert "pinyon.E002" in done.stderr
        assert "Traceback" not in done.stderr


def test_manage_py_check_deploy_asks_the_server_and_check_does_not(tmp_path, open_redis):
    caches = {"default": redis(f"redis://{outward_address()}:{open_redis.port}")}
    assert "pinyon.W002" not in manage(tmp_path, caches, "check").stderr
    assert "pinyon.W002" in manage(tmp_path, caches, "check", "--deploy").stderr


def test_every_check_is_documented_and_every_documented_check_exists():
    source = Path(checks.__file__).read_text(encoding="utf-8")
    documented = re.findall(
        r"^## `pinyon\.([EW]\d{3})`", (DOCS / "checks.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(documented) == sorted(set(re.findall(r'id="pinyon\.([EW]\d{3})"', source)))
