"""``manage.py pinyon check|stats|clear``: what the program ``pinyon`` does, from inside the site, where all settings are known."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.cache import caches
from django.core.management.base import BaseCommand, CommandError

from pinyon.django import health
from pinyon.django.checks import warnings_of
from pinyon.django.health import Health

COLUMNS = ["Alias", "Backend", "Server", "Status", "Round trip", "Version", "Memory", "Entries"]
#: Columns of numbers are set to the right.
NUMBERS = {"Round trip", "Entries"}


class Command(BaseCommand):
    help = "Look after the caches of this site: ask their servers, show what they have done, empty one."
    # A site with wrong settings is to be told so in the table, for every alias.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="action", metavar="check|stats|clear", required=True)
        check = commands.add_parser("check", help="ask every server of every alias; exit status 1 if one fails")
        check.add_argument("--json", action="store_true", help="the same for programs")
        stats = commands.add_parser("stats", help="what the caches have done in this process, and what is in them")
        stats.add_argument("--json", action="store_true", help="the same for programs")
        clear = commands.add_parser("clear", help="remove every entry of a cache, as its clear() does")
        clear.add_argument("--alias", default="default", help="the alias of the cache (default: %(default)s)")
        clear.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        action = options["action"]
        if action == "clear":
            self.clear(options["alias"], options["yes"])
        else:
            show = self.check_caches if action == "check" else self.show_stats
            show([health.look_at(alias) for alias in caches.settings], options["json"])

    def check_caches(self, found: list[Health], as_json: bool) -> None:
        warnings = [warning.msg for warning in warnings_of(caches.settings)]
        fine = all(cache.ok for cache in found)
        if as_json:
            listed = [
                {"alias": cache.alias, "backend": cache.backend, "servers": cache.servers, "breaker": cache.breaker}
                for cache in found
            ]
            self.stdout.write(json.dumps({"ok": fine, "caches": listed, "warnings": warnings}, indent=2))
        else:
            rows = [row(cache, server) for cache in found for server in cache.servers]
            self.write_table(COLUMNS, rows)
            self.explain(found)
            self.show_breakers(found)
            for warning in warnings:
                self.stdout.write(f"\n{self.style.WARNING('warning:')} {warning}")
            servers = [server["ok"] for cache in found for server in cache.servers]
            answered = sum(servers)
            say = f"All {answered} answer." if fine else f"{answered} of {len(servers)} answer."
            self.stdout.write("\n" + (self.style.SUCCESS(say) if fine else self.style.ERROR(say)))
        if not fine:
            sys.exit(1)

    def show_stats(self, found: list[Health], as_json: bool) -> None:
        if as_json:
            listed = [
                {
                    "alias": cache.alias,
                    "backend": cache.backend,
                    "stats": cache.stats,
                    "servers": cache.servers,
                    "breaker": cache.breaker,
                }
                for cache in found
            ]
            self.stdout.write(json.dumps({"caches": listed}, indent=2))
            return
        counters = ["hits", "misses", "bad_values", "errors"]
        headers = ["Alias", "Server", *(name.replace("_", " ").capitalize() for name in counters), "Memory", "Entries"]
        rows = []
        for cache in found:
            counted = cache.stats or {}
            for number, server in enumerate(cache.servers):
                # The counters are those of the whole cache: shown once.
                shown = [str(counted.get(name, "")) if number == 0 else "" for name in counters]
                rows.append([cache.alias, server["server"], *shown, memory(server), text(server.get("entries"))])
        self.write_table(headers, rows, {*headers} - {"Alias", "Server", "Memory"})
        self.stdout.write("\nHits to Errors: of this process, which has just begun. Memory and Entries: of the server.")
        self.show_breakers(found)
        self.explain(found)

    def clear(self, alias: str, yes: bool) -> None:
        if alias not in caches.settings:
            raise CommandError(f"There is no cache '{alias}'. CACHES has: {', '.join(caches.settings)}.")
        if not yes:
            if not sys.stdin.isatty():
                raise CommandError("clear asks before it empties a cache, and there is no terminal. Give --yes.")
            if getattr(getattr(caches[alias], "_configuration", None), "clears_prefix", False):
                what = f"removes every key with the prefix and the version of the cache '{alias}'"
            else:
                what = (
                    f"empties the WHOLE store of the cache '{alias}': every key in it, also those of other applications"
                )
            if input(f"This {what}. Go on? [y/N] ").strip().lower() not in {"y", "yes"}:
                raise CommandError("Nothing was removed.")
        try:
            caches[alias].clear()
        except Exception as error:  # a backend may raise anything; its text says what to do
            raise CommandError(f"Nothing is known to be removed from '{alias}'. {error}") from error
        self.stdout.write("cleared")

    def show_breakers(self, found: list[Health]) -> None:
        """The circuit breakers of this process, in the words of the program."""
        for cache in found:
            if cache.breaker:
                self.stdout.write(f"\ncircuit breaker of '{cache.alias}': {breaker_in_words(cache.breaker)}")

    def explain(self, found: list[Health]) -> None:
        """Why servers failed, and what to do."""
        for cache in found:
            for server in cache.servers:
                if server["ok"]:
                    continue
                where = f"{cache.alias} on {server['server']}" if server["server"] else cache.alias
                self.stdout.write(f"\n{self.style.MIGRATE_HEADING(where)}\n  {server['error']['message']}")
                if server["error"]["hint"]:
                    self.stdout.write(f"  hint: {server['error']['hint']}")

    def write_table(self, headers: list[str], rows: list[list[str]], numbers: set[str] = NUMBERS) -> None:
        widths = [max(len(line[column]) for line in [headers, *rows]) for column in range(len(headers))]

        def line(cells: list[str]) -> str:
            placed = [
                cell.rjust(width) if header in numbers else cell.ljust(width)
                for cell, width, header in zip(cells, widths, headers, strict=True)
            ]
            return "  ".join(placed).rstrip()

        self.stdout.write(self.style.MIGRATE_HEADING(line(headers)))
        self.stdout.write("─" * (sum(widths) + 2 * (len(widths) - 1)))
        for cells in rows:
            written = line(cells)
            self.stdout.write(self.style.ERROR(written) if "failed" in cells else written)


def breaker_in_words(breaker: dict[str, Any]) -> str:
    if breaker["state"] == "off":
        return "off (BREAKER_FAILURES = 0)"
    left = f" for {breaker['pause_left_ms']} ms more" if breaker["state"] == "open" else ""
    return (
        f"{breaker['state']}{left}, {breaker['failures']} failed in a row; opens after {breaker['opens_after']} "
        f"(BREAKER_FAILURES) for at most {breaker['longest_pause_s']:g} s (BREAKER_PAUSE)"
    )


def row(cache: Health, server: dict[str, Any]) -> list[str]:
    cells = [cache.alias, cache.backend, server["server"], "ok" if server["ok"] else "failed"]
    if not server["ok"]:
        return [*cells, "", "", "", ""]
    return [
        *cells,
        f"{server['round_trip_ms']:.2f} ms",
        server["version"],
        memory(server),
        text(server["entries"]),
    ]


def memory(server: dict[str, Any]) -> str:
    used, limit = server.get("memory_used"), server.get("memory_limit")
    if used is None:
        return ""
    return size(used) if limit is None else f"{size(used)} of {size(limit)}"


def size(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    shown, units = count / 1024, ["KiB", "MiB", "GiB", "TiB"]
    # Up to what would round to 1024.
    while shown >= 1023.95 and len(units) > 1:
        shown /= 1024
        units.pop(0)
    return f"{shown:.1f} {units[0]}".replace(".0 ", " ")


def text(number: int | None) -> str:
    return "" if number is None else str(number)
