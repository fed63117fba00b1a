"""manage.py pinyon check, stats and clear."""

import json
import re
from io import StringIO
from unittest import mock

import pytest
from backends import INCUMBENT, PINYON
from django.core.management import CommandError, call_command
from pinyon.django.management.commands import pinyon as module
from servers import free_port
from site_process import manage

pytestmark = pytest.mark.pinyon_only


def run(*arguments, **options):
    """What the command writes, and its exit status."""
    out = StringIO()
    try:
        call_command(module.Command(), *arguments, stdout=out, no_color=True, **options)
    except SystemExit as end:
        return out.getvalue(), end.code
    return out.getvalue(), 0


@pytest.fixture
def site(configure, redis_server, memcached_server, tmp_path):
    """A CACHES with every kind of alias; all answer."""
    setting = {
        "default": {"BACKEND": PINYON["memory"], "LOCATION": "command-test", "OPTIONS": {"MAX_BYTES": "1MiB"}},
        "redis": {"BACKEND": PINYON["redis"], "LOCATION": redis_server.url},
        "memcached": {"BACKEND": PINYON["memcached"], "LOCATION": memcached_server.address},
        "dummy": {"BACKEND": "pinyon.django.DummyCache"},
        "files": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": str(tmp_path)},
    }
    return configure(setting)


def test_check_shows_a_row_for_every_alias(site, redis_server, memcached_server):
    site["redis"].set("key", "value")
    written, status = run("check")
    rows = {line.split()[0]: line for line in written.splitlines()[2:8] if line}
    assert status == 0, written
    assert list(rows) == ["default", "redis", "memcached", "dummy", "files"]
    assert all("  ok  " in row and " ms" in row for row in rows.values())
    assert redis_server.address in rows["redis"]
    assert re.search(r"Redis \d", rows["redis"])
    assert memcached_server.address in rows["memcached"]
    assert "of 1 MiB" in rows["default"]
    assert written.splitlines()[-1] == "All 5 answer."


def test_check_as_json_has_the_keys_of_the_programs(site):
    written, status = run("check", "--json")
    found = json.loads(written)
    assert (status, found["ok"], found["warnings"]) == (0, True, [])
    aliases = {cache["alias"]: cache for cache in found["caches"]}
    assert list(aliases) == ["default", "redis", "memcached", "dummy", "files"]
    keys = {"server", "ok", "round_trip_ms", "version", "memory_used", "memory_limit", "entries", "error"}
    assert all(set(server) == keys for cache in aliases.values() for server in cache["servers"])
    assert aliases["memcached"]["servers"][0]["memory_limit"] > 0
    assert aliases["default"]["servers"][0]["memory_limit"] == 1 << 20
    assert isinstance(aliases["redis"]["servers"][0]["entries"], int)


def test_the_circuit_breaker_is_shown_with_its_settings(configure):
    def entry(**options):
        location = f"redis://127.0.0.1:{free_port()}"
        return {"BACKEND": PINYON["redis"], "LOCATION": location, "OPTIONS": {"IGNORE_EXCEPTIONS": True, **options}}

    caches = configure(
        {
            "default": {"BACKEND": PINYON["memory"]},
            "calm": entry(),
            "open": entry(BREAKER_FAILURES=1, BREAKER_PAUSE=60, socket_connect_timeout=2),
            "off": entry(BREAKER_FAILURES=0),
        }
    )
    caches["open"].get("key")
    for command in ("check", "stats"):
        # However short the pause is, its failures are still there.
        written = run(command)[0]
        assert "'calm': closed, 0 failed in a row; opens after 3 (BREAKER_FAILURES) for at most 30 s" in written
        assert re.search(r"'open': (open for \d+ ms more|closed), 1 failed in a row; opens after 1 .* 60 s", written)
        assert "'off': off (BREAKER_FAILURES = 0)" in written
        assert "breaker of 'default'" not in written
        found = {cache["alias"]: cache["breaker"] for cache in json.loads(run(command, "--json")[0])["caches"]}
        assert found["default"] is None
        assert found["calm"] == {
            "state": "closed",
            "failures": 0,
            "pause_left_ms": 0,
            "opens_after": 3,
            "longest_pause_s": 30.0,
        }
        assert (found["open"]["failures"], found["off"]["state"]) == (1, "off")


def test_an_open_breaker_says_how_long():
    breaker = {"state": "open", "failures": 3, "pause_left_ms": 40, "opens_after": 3, "longest_pause_s": 0.5}
    assert module.breaker_in_words(breaker) == (
        "open for 40 ms more, 3 failed in a row; opens after 3 (BREAKER_FAILURES) for at most 0.5 s (BREAKER_PAUSE)"
    )


def test_check_leaves_nothing_in_a_cache_that_it_probes(site, tmp_path):
    run("check")
    assert list(tmp_path.rglob("*.djcache")) == []


def test_a_server_that_is_not_there_fails_the_check_and_is_explained(configure, redis_server):
    port = free_port()
    configure(
        {
            "default": {"BACKEND": PINYON["redis"], "LOCATION": redis_server.url},
            "dead": {"BACKEND": PINYON["redis"], "LOCATION": f"redis://:s3cret@127.0.0.1:{port}/1"},
            "dead_too": {"BACKEND": INCUMBENT["redis"], "LOCATION": f"redis://:s3cret@127.0.0.1:{port}/1"},
        }
    )
    written, status = run("check")
    assert status == 1
    assert f"dead on redis://127.0.0.1:{port}/1" in written
    assert "hint: Start redis-server there" in written
    assert "1 of 3 answer." in written
    assert "s3cret" not in written
    found = json.loads(run("check", "--json")[0])
    dead = found["caches"][1]["servers"][0]
    assert (found["ok"], dead["ok"], dead["error"]["kind"]) == (False, False, "Unreachable")
    assert found["caches"][2]["servers"][0]["server"] == f"redis://127.0.0.1:{port}/1"


def test_ignored_exceptions_are_not_ignored_by_check(configure):
    options = {"IGNORE_EXCEPTIONS": True}
    location = f"redis://127.0.0.1:{free_port()}"
    configure({"default": {"BACKEND": PINYON["redis"], "LOCATION": location, "OPTIONS": options}})
    assert run("check")[1] == 1


def test_wrong_settings_of_one_alias_do_not_hide_the_others(configure):
    configure(
        {
            "default": {"BACKEND": PINYON["memory"]},
            "wrong": {"BACKEND": PINYON["memory"], "OPTIONS": {"MAX_ENTRY": 1}},
            "gone": {"BACKEND": "no.such.Backend"},
        }
    )
    written, status = run("check")
    assert status == 1
    assert "MAX_ENTRY" in written
    assert "MAX_ENTRIES" in written
    assert "no.such.Backend" in written
    assert "1 of 3 answer." in written


def test_a_cache_that_loses_what_it_is_given_fails_the_check(configure):
    location = f"127.0.0.1:{free_port()}"
    options = {"ignore_exc": True}
    configure({"default": {"BACKEND": INCUMBENT["memcached"], "LOCATION": location, "OPTIONS": options}})
    written, status = run("check")
    assert status == 1
    assert "could not be read again" in written


def test_options_without_effect_are_warned_of(configure):
    configure({"default": {"BACKEND": PINYON["redis"], "LOCATION": "redis://h", "OPTIONS": {"CLOSE_CONNECTION": True}}})
    assert any("CLOSE_CONNECTION" in warning for warning in json.loads(run("check", "--json")[0])["warnings"])


def test_stats_show_what_this_process_has_done(site):
    site["default"].clear()
    site["default"].set("key", 1)
    site["default"].get("key")
    site["default"].get("nothing")
    found = {cache["alias"]: cache for cache in json.loads(run("stats", "--json")[0])["caches"]}
    assert found["default"]["stats"]["entries"] == 1
    assert found["default"]["stats"]["hits"] >= 1
    assert found["files"]["stats"] is None
    before = found["redis"]["stats"]["misses"]
    site["redis"].get("nothing")
    found = {cache["alias"]: cache for cache in json.loads(run("stats", "--json")[0])["caches"]}
    assert found["redis"]["stats"]["misses"] == before + 1
    table, status = run("stats")
    assert status == 0
    assert "Bad values" in table.splitlines()[0]


@pytest.mark.parametrize("alias", ["default", "redis", "memcached"])
def test_clear_empties_the_alias_that_is_named(site, alias):
    for name in ("default", "redis", "memcached"):
        site[name].set("key", "value")
    assert run("clear", "--alias", alias, "--yes") == ("cleared\n", 0)
    assert [name for name in ("default", "redis", "memcached") if site[name].get("key") is None] == [alias]


@pytest.mark.parametrize(("answer", "left"), [("y", None), ("YES", None), ("", "value"), ("n", "value")])
def test_clear_asks_first(site, answer, left):
    site["default"].set("key", "value")
    with (
        mock.patch.object(module.sys.stdin, "isatty", return_value=True, create=True),
        mock.patch("builtins.input") as asked,
    ):
        asked.return_value = answer
        if left is None:
            run("clear")
        else:
            with pytest.raises(CommandError, match="Nothing was removed"):
                run("clear")
    assert "'default'" in asked.call_args.args[0]
    assert site["default"].get("key") == left


def test_clear_does_nothing_where_nobody_can_be_asked(site):
    site["default"].set("key", "value")
    with mock.patch.object(module.sys, "stdin", StringIO("y\n")), pytest.raises(CommandError, match="--yes"):
        run("clear")
    assert site["default"].get("key") == "value"


def test_clear_names_the_aliases_that_there_are(site):
    with pytest.raises(CommandError, match="default, redis, memcached"):
        run("clear", "--alias", "rediss", "--yes")


def test_manage_py_of_a_site_checks_clears_and_fails(redis_server, tmp_path):
    dead = f"redis://127.0.0.1:{free_port()}"
    caches = {"default": {"BACKEND": PINYON["redis"], "LOCATION": redis_server.url}}
    with redis_server.client() as client:
        client.set("foreign", 1)
        done = manage(tmp_path, caches, "pinyon", "check")
        assert (done.returncode, "All 1 answer." in done.stdout) == (0, True), done.stderr
        assert manage(tmp_path, caches, "pinyon", "clear").returncode == 1
        assert client.get("foreign") == b"1"
        assert manage(tmp_path, caches, "pinyon", "clear", "--yes").stdout == "cleared\n"
        assert client.get("foreign") is None
    caches["dead"] = {"BACKEND": PINYON["redis"], "LOCATION": dead}
    done = manage(tmp_path, caches, "pinyon", "check", "--json")
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False), done.stderr
