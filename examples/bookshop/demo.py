"""What `make demo` runs: fills the shop, checks its caches, measures its bestseller page, and opens the shop."""

import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import django
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CHART = HERE / "out" / "bestsellers.svg"
CACHES = {"memory": "default", "Redis": "redis_cache", "Memcached": "memcached_cache"}
HOW_TO_START = {"Redis": "redis-server", "Memcached": "memcached"}

console = Console(highlight=False)


def main():
    """Runs the demo; answers the exit status."""
    # A demo compares all caches whichever one the pages would use otherwise.
    os.environ.pop("BOOKSHOP_CACHE", None)
    os.environ["DJANGO_SETTINGS_MODULE"] = "bookshop.settings"
    sys.path.insert(0, str(HERE))
    django.setup()

    fill_the_shop()
    check_the_caches()
    draw_chart(measure_the_page())
    return serve()


def fill_the_shop():
    """Makes the tables and the books, unless they are there."""
    from django.core.management import call_command
    from shop import catalogue

    heading("The shop")
    call_command("migrate", verbosity=0)
    if catalogue.is_present():
        console.print(f"{catalogue.BOOKS:,} books are on the shelves already.")
        return
    with progress_bar() as bar:
        task = bar.add_task("Making books", total=catalogue.BOOKS)
        catalogue.make(on_progress=lambda done: bar.update(task, completed=done))


def check_the_caches():
    """Shows what `pinyon check` says."""
    heading("The caches")
    program = find_program()
    if program is None:
        console.print("The program `pinyon` is not installed here, so its check is left out; `make demo` installs it.")
        return
    with tempfile.TemporaryDirectory() as folder:
        settings_file = settings_for_program(Path(folder))
        console.print(f"[dim]$ pinyon check --settings {escape(shown(HERE / 'caches.toml'))}[/]")
        if settings_file.parent != HERE:
            console.print("[dim]  (with the servers that BOOKSHOP_REDIS and BOOKSHOP_MEMCACHED name)[/]")
        sys.stdout.flush()
        status = subprocess.run([program, "check", "--settings", settings_file], check=False).returncode
    # 1: some server does not run. The demo goes on with the others.
    if status not in (0, 1):
        raise SystemExit(f"`pinyon check` failed with exit status {status}; its message is above.")


def find_program():
    """The program beside this Python, or else the one that cargo built."""
    folders = (Path(sys.executable).parent, REPOSITORY / "target" / "release", REPOSITORY / "target" / "debug")
    return shutil.which("pinyon", path=os.pathsep.join(map(str, folders)))


def settings_for_program(folder):
    """caches.toml; a copy of it if the environment names other servers."""
    from bookshop import settings

    original = HERE / "caches.toml"
    text = original.read_text(encoding="utf-8")
    servers = {"redis://127.0.0.1:6379/1": settings.REDIS, "127.0.0.1:11211": settings.MEMCACHED}
    changed = text
    for usual, server in servers.items():
        changed = changed.replace(f'"{usual}"', f'"{server}"')
    if changed == text:
        return original
    copy = folder / "caches.toml"
    copy.write_text(changed, encoding="utf-8")
    return copy


def measure_the_page():
    """Measures without a cache and with each one that can be reached; shows a table."""
    from bookshop.wsgi import application
    from measurement import MeasurementError, measure, planned_requests
    from shop.views import WAYS

    heading("The bestseller page")
    ways = [way for way in WAYS if way != "no-cache"]
    runs = [("none", "default", "no-cache")]
    runs += [(name, alias, way) for name, alias in reachable_caches().items() for way in ways]
    measurements = []
    with progress_bar() as bar:
        task = bar.add_task("Asking for the page", total=sum(planned_requests(way) for *_, way in runs))
        done = 0
        for cache, alias, way in runs:
            bar.update(task, description=f"{WAYS[way]}, {cache}" if cache != "none" else WAYS[way])
            try:
                measurements.append(measure(application, cache, alias, way, lambda: bar.advance(task)))
            except MeasurementError as error:
                if cache == "none":
                    raise SystemExit(f"The page does not even come without a cache: {error}") from None
                bar.console.print(f"{cache}, {WAYS[way]}: left out. {error}")
            done += planned_requests(way)
            bar.update(task, completed=done)
        bar.update(task, description="Asked for the page")
    console.print(table(measurements, WAYS))
    return measurements


def reachable_caches():
    """Name -> alias of the caches that work; says of the others why they are skipped."""
    from measurement import why_unreachable

    reachable = {}
    for name, alias in CACHES.items():
        problem = why_unreachable(alias)
        if problem is None:
            reachable[name] = alias
            continue
        console.print(f"[yellow]{name} is skipped:[/] {escape(problem)}")
        if name in HOW_TO_START:
            console.print(f"[dim]To see it here too, start `{HOW_TO_START[name]}` and run the demo again.[/]")
    return reachable


def table(measurements, labels):
    """The measurements as a table; the factor is against the first of them."""
    result = Table(caption="In one process, one request after the other.", caption_justify="left")
    result.add_column("Cache")
    result.add_column("Way of caching")
    for name in ("Requests", "Median ms", "Requests/s", "Factor"):
        result.add_column(name, justify="right")
    uncached = measurements[0]
    for before, each in zip([None, *measurements], measurements, strict=False):
        new = before is None or before.cache != each.cache
        if new and before is not None:
            result.add_section()
        result.add_row(
            each.cache if new else "",
            labels[each.way],
            f"{each.requests:,}",
            f"{each.milliseconds:.2f}",
            f"{each.per_second:,.0f}",
            f"[bold green]{uncached.milliseconds / each.milliseconds:,.1f}×[/]" if each is not uncached else "1×",
        )
    return result


def draw_chart(measurements):
    """Writes the chart and says where."""
    from chart import draw
    from shop.views import WAYS

    CHART.parent.mkdir(exist_ok=True)
    draw(measurements, WAYS, CHART)
    console.print(f"Chart: {escape(shown(CHART))}", soft_wrap=True)


def serve():
    """Serves the shop until Ctrl-C; without a terminal, only long enough to fetch a page."""
    from bookshop.wsgi import application
    from serving import bind

    heading("The shop is open")
    with bind(application) as server:
        console.print(f"Bookshop: http://127.0.0.1:{server.server_port}/ (Ctrl-C stops it)")
        sys.stdout.flush()
        if sys.stdin.isatty() and sys.stdout.isatty():
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                console.print("\nClosed.")
            return 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        status = fetch_home(server.server_port)
        server.shutdown()
    console.print(f"The home page answered {status}. There is no terminal here, so the shop closes.")
    return 0 if status == 200 else 1


def fetch_home(port):
    """The HTTP status of the home page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


def heading(text):
    """Begins a part of the demo."""
    console.print(f"\n[bold]{text}[/]")


def progress_bar():
    """A bar with a name, a count and the time."""
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def shown(path):
    """A path as short as it can be written from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        console.print("\nStopped.")
        sys.exit(130)
