"""The README says what is so: its settings are taken from it and used, with the ports of the servers that the tests start."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from servers import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
STEPS = [text for text in PYTHON if "CACHES =" in text]
USE = next(text for text in PYTHON if "caches[" in text)

pytestmark = pytest.mark.pinyon_only


def with_ports(text, redis_server, memcached_server):
    text = text.replace("127.0.0.1:6379", f"127.0.0.1:{redis_server.port}")
    return text.replace("127.0.0.1:11211", f"127.0.0.1:{memcached_server.port}")


def run_site(settings, program, tmp_path):
    """A new process with `settings` as its settings module: as a user's site has it."""
    (tmp_path / "readme_settings.py").write_text(settings)
    program = f"import django\ndjango.setup()\n{program}"
    return subprocess.run(
        [sys.executable, "-c", program],
        env={"DJANGO_SETTINGS_MODULE": "readme_settings", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_each_step_caches_in_every_alias_on_pinyon(step, redis_server, memcached_server, tmp_path):
    settings = with_ports(STEPS[step - 1], redis_server, memcached_server)
    done = run_site(
        settings,
        "from django.core.cache import caches\n"
        "for alias in caches.settings:\n"
        "    cache = caches[alias]\n"
        "    assert type(cache).__module__.startswith('pinyon.django'), type(cache)\n"
        "    cache.set('key', {'alias': alias}, 30)\n"
        "    assert cache.get('key') == {'alias': alias}\n"
        "    print(alias, type(cache).__name__)\n",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == ("default RedisCache" if step == 4 else "default LocMemCache")
    assert len(done.stdout.splitlines()) == min(step, 3)


def test_the_lines_of_a_site_run_as_they_stand(redis_server, memcached_server, tmp_path):
    done = run_site(with_ports(STEPS[3], redis_server, memcached_server), USE, tmp_path)
    assert done.returncode == 0, done.stderr


def test_two_processes_on_two_aliases_of_one_redis_see_each_others_values(redis_server, memcached_server, tmp_path):
    settings = with_ports(STEPS[3], redis_server, memcached_server)
    write = "from django.core.cache import caches\ncaches['default'].set('seen', [1, 2], 30)"
    read = "from django.core.cache import caches\nprint(caches['redis_cache'].get('seen'))"
    assert run_site(settings, write, tmp_path).returncode == 0
    assert run_site(settings, read, tmp_path).stdout.strip() == "[1, 2]"


def test_a_server_that_is_not_there_is_named_as_the_readme_says(tmp_path):
    port = free_port()
    settings = STEPS[1].replace("127.0.0.1:6379", f"127.0.0.1:{port}")
    done = run_site(settings, "from django.core.cache import caches\ncaches['redis_cache'].get('x')", tmp_path)
    said = done.stderr.strip().splitlines()[-1]
    text = next(text for language, text in BLOCKS if language == "text")
    promised = " ".join(text.split()).removesuffix(" …").replace("6379", str(port))
    assert said.startswith(promised), said


def test_the_settings_of_the_rust_part_are_the_files_that_the_programs_tests_use():
    shown = next(text for language, text in BLOCKS if language == "toml")
    assert shown == (ROOT / "examples" / "settings" / "step4.toml").read_text(encoding="utf-8")
