"""Django's own cache tests, each backend in a process of its own (see django_suite/run.py)."""

import subprocess
import sys
from pathlib import Path

import pytest
from backends import BACKENDS

RUN = Path(__file__).parent / "django_suite" / "run.py"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["locmem", "redis", "memcached", "db"])
def test_djangos_own_tests_pass(backend):
    path = BACKENDS[{"locmem": "memory", "db": "database"}.get(backend, backend)]
    command = [sys.executable, str(RUN), "--backend", backend, "--class", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-8000:] + done.stdout[-4000:]
