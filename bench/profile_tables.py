"""What cpu_profile.py has found, as lines of tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

#: The columns, and what they are called in the file.
PARTS = {
    "interpreter": "interpreter",
    "library of the peer": "client",
    "web server": "web server",
    "C library": "C library",
    "kernel, for the client": "kernel",
    "server": "server",
    "others": "others",
}


def _found(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {"cases": [], "rust": []}


def part_table(path: Path) -> dict[str, Any] | None:
    """Heads and lines, in time of a processor an operation or a page; None if nothing was looked at."""
    found = _found(path)
    if not found["cases"]:
        return None
    lines = []
    for case in found["cases"]:
        all_processors = case["wall"] * found["processors"]
        times = [all_processors * case["parts"].get(part, 0.0) for part in PARTS.values()]
        cells = [f"{time:.3g}" if time >= 0.005 * all_processors else "" for time in times]
        idle = f"{100 * case['parts'].get('idle', 0.0):.0f} %"
        lines.append([case["title"], case["peer"], f"{sum(times):.3g} {case['unit']}", *cells, idle])
    return {"date": found["date"], "heads": ["what", "peer", "busy", *PARTS, "idle"], "lines": lines}


def function_lines(path: Path) -> list[list[str]]:
    """Of the Rust crate: what, the peer, whose time it is where a server takes part, and the functions of the program."""
    lines = []
    for profile in _found(path)["rust"]:
        parts = profile["parts"]
        has_server = parts.get("server", 0.0) > 0.01
        own = sum(parts.get(part, 0.0) for part in ("client", "C library", "interpreter", "kernel"))
        shares = {"program": own, "server": parts.get("server", 0.0), "idle": parts.get("idle", 0.0)}
        words = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items()) if has_server else ""
        functions = "; ".join(f"`{_short(name)}` {100 * share:.0f} %" for name, share in profile["functions"])
        lines.append([profile["title"], profile["peer"], words, functions])
    return lines


def _short(function: str) -> str:
    """Without the types that a function is made for, which take a line each."""
    depth, kept = 0, []
    for letter in function:
        depth += letter == "<"
        if not depth:
            kept.append(letter)
        depth -= letter == ">" and depth > 0
    return "".join(kept).strip(":") or function
