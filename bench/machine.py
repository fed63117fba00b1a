"""Where and with what a run was made."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

PACKAGES = (
    "Django",
    "asgiref",
    "cachebox",
    "diskcache",
    "django-redis",
    "django-valkey",
    "django-vcache",
    "granian",
    "gunicorn",
    "hiredis",
    "pylibmc",
    "pymemcache",
    "redis",
    "uvicorn",
    "uvloop",
    "valkey",
)
PROGRAMS = ("redis-server --version", "memcached --version", "rustc --version")


def facts() -> dict[str, Any]:
    """Date, machine and versions."""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "processors": os.cpu_count(),
        "load": busy_processors(),
        "versions": versions(),
    }


def busy_processors() -> float:
    """How many processors others keep busy before the bench begins. The system's load would count what has ended as well."""
    return round(psutil.cpu_percent(interval=2) / 100 * (os.cpu_count() or 1), 2)


def processor() -> str:
    """Its name, as Linux has it."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def versions() -> dict[str, str]:
    import pinyon

    found = {"Pinyon": str(pinyon.__version__), "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    for program in PROGRAMS:
        answer = subprocess.run(program.split(), capture_output=True, text=True, check=True).stdout
        # "Redis server v=7.0.15 sha=…", "memcached 1.6.18", "rustc 1.95.0 (…)"
        found[program.split()[0]] = next(
            word.removeprefix("v=") for word in answer.split() if word[-1].isdigit() and "." in word
        )
    return found
