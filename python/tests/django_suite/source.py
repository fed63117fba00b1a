"""The tests of the installed Django version: they are in its source distribution, not in the wheel."""

import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import django

CACHE = Path(os.environ.get("PINYON_DJANGO_TESTS", Path(__file__).parents[3] / "target" / "django-tests"))


def tests_directory():
    """The extracted `tests` folder; downloaded by pip the first time."""
    place = CACHE / django.get_version()
    tests = place / "tests"
    if not tests.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            _extract(_download(Path(scratch)), Path(scratch) / "extracted")
            # Another run may have been faster; its folder is as good as ours.
            with contextlib.suppress(OSError):
                (Path(scratch) / "extracted").rename(place)
    if not (tests / "cache" / "tests.py").is_file():
        raise RuntimeError(f"{place} holds no Django tests; delete it and run again")
    return tests


def _download(directory):
    requirement = f"Django=={django.get_version()}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", "Django", "--dest", str(directory), requirement]
    # pip prepares the metadata of what it downloads. Without isolation it does so with the setuptools that is
    # installed here, which helps where the isolated build environment cannot be made.
    for extra in ([], ["--no-build-isolation"]):
        done = subprocess.run(command + extra, capture_output=True, text=True)
        archives = list(directory.glob("*.tar.gz"))
        if done.returncode == 0 and archives:
            return archives[0]
    raise RuntimeError(f"pip could not download the source of {requirement}:\n{done.stderr}")


def _extract(archive, place):
    with tarfile.open(archive) as tar:
        members = []
        for member in tar.getmembers():
            _, _, path = member.name.partition("/")
            if path == "tests" or path.startswith("tests/"):
                member.name = path
                members.append(member)
        tar.extractall(place, members, filter="data")
