"""The process of one peer: it takes a turn whenever a line on its standard input says so.

    python -m bench.worker SPEC

SPEC is JSON: `work`, `options` of the work, and Django's `settings`. It prints "ready", and then one line for each that it reads:
"prepare CASE" is answered with "ok", "unsupported" or "wrong WHY"; "turn NUMBER CASE" with two numbers, of which a figure is the
second by the first: operations and nanoseconds, entries and bytes, look-ups and hits.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
import warnings
from typing import Any

from bench.timing import Unsupported

#: Modules of this package, and the work that is in each.
WORKS = {
    "one_thread": "OneThread",
    "mix": "Mix",
    "tasks": "Tasks",
    "making": "Making",
    "memory_use": "MemoryUse",
    "hit_ratio": "HitRatio",
}


def made(spec: dict[str, Any]) -> Any:
    """The work, on Django's settings."""
    import django
    from django.conf import settings

    settings.configure(**spec["settings"])
    if "DATABASES" in spec["settings"]:
        # Only here: it imports half of Django.
        django.setup()
        from django.core.management import call_command

        call_command("createcachetable", verbosity=0)
    name = spec["work"]
    # Only the one that is asked for: a work may import what others do without.
    return getattr(importlib.import_module(f"bench.{name}"), WORKS[name])(spec["options"])


def prepared(work: Any, case: str) -> str:
    try:
        work.prepare(case)
    except Unsupported:
        return "unsupported"
    except Exception as error:
        return "wrong " + " ".join(f"{type(error).__name__}: {error}".split())
    return "ok"


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    # What a library prints must not be taken for an answer.
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    work = made(json.loads(sys.argv[1]))
    gc.disable()
    # Every turn begins with a collection, which need not look at what is there now.
    gc.freeze()
    print("ready", file=answers)
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "prepare":
            print(prepared(work, rest), file=answers)
        else:
            number, _, case = rest.partition(" ")
            amount, total = work.turn(case, int(number))
            print(amount, total, file=answers)


if __name__ == "__main__":
    main()
