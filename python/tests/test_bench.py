"""The bench works: every workload runs once, with turns of a millisecond, on the peers that are installed here."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What the bench needs and the tests do not is installed where `make check` runs; there its smoke run belongs.
for module in ("matplotlib", "psutil", "rich", "uvicorn"):
    pytest.importorskip(module)

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))

from bench import (  # noqa: E402
    pages,
    peers,
    performance_page,
    processors,
    results,
    rust_results,
    scale,
    sections,
    stores,
    targets,
    traces,
    turns,
)

pytestmark = pytest.mark.pinyon_only
SECTIONS = {section.id: section for section in sections.all_sections(scale.SMOKE)}
PAGES = {section.id: section for section in pages.page_sections(scale.SMOKE)}
INSTALLED = {
    section.id: {peer.name for peer in peers.peers_of(section.kind, section.work) if not peer.is_missing}
    for section in SECTIONS.values()
} | {
    section.id: {peer.name for peer in pages.section_peers(section) if not peer.is_missing}
    for section in PAGES.values()
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """Where a smoke run has left its results."""
    path = tmp_path_factory.mktemp("bench")
    command = [sys.executable, "-m", "bench", "--smoke", "--json", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return path


@pytest.fixture(scope="module")
def reports(directory):
    return performance_page.reports_in(directory)


@pytest.fixture(scope="module")
def tables(reports):
    return {table.id: table for report in reports for table in report.tables}


def test_every_section_has_a_table_with_its_rows_and_peers(tables):
    assert tables.keys() == SECTIONS.keys() | PAGES.keys()
    for name, table in tables.items():
        cases = pages.CASES if name in PAGES else SECTIONS[name].cases
        assert [row.case for row in table.rows] == list(cases), name
        assert table.peers.keys() == INSTALLED[name], name


def test_pinyon_and_every_django_backend_has_a_figure_in_every_row(tables):
    for table in tables.values():
        backends = {peer for peer, role in table.peers.items() if role in ("pinyon", "incumbent")}
        for row in table.rows:
            assert row.values.keys() >= backends, (table.id, row.case.id)
            assert {len(values) for values in row.values.values()} == {scale.SMOKE.rounds}


def test_the_floors_have_figures(tables):
    assert tables["redis"].row("get_many/100B").values["bare socket"][0] > 0
    assert tables["memcached"].row("set/10KiB").values["bare socket"][0] > 0
    assert tables["memory"].row("get/dict").values["pickle"][0] > 0
    assert tables["memory"].row("set/100B").values["dict"][0] > 0
    assert tables["wsgi-gunicorn-memory"].row("requests").values["no cache"][0] > 0


def test_no_peer_failed(reports):
    assert [note for report in reports for note in report.notes] == []


def test_every_target_is_looked_at(tables):
    found = {verdict.target for verdict in targets.verdicts(list(tables.values()))}
    # A smoke run has one server of each kind only.
    assert {target for target in targets.TARGETS if target not in found} == {
        target for target in targets.TARGETS if "-granian-" in target.section
    }


def test_every_group_with_an_incumbent_has_a_picture(directory):
    assert {path.stem for path in directory.glob("*.svg")} == set(sections.GROUPS)


def test_the_page_is_rendered_from_the_results_alone(directory, reports, tables, tmp_path):
    path = tmp_path / "performance.md"
    command = [sys.executable, "-m", "bench.performance_page", str(directory), str(path)]
    subprocess.run(command, cwd=ROOT, timeout=60, check=True)
    page = path.read_text(encoding="utf-8")
    for table in tables.values():
        assert f"## {table.title}" in page
    assert page.count("| at least 20× Django LocMemCache |") == 1
    assert f"Django {reports[0].facts['versions']['Django']}," in page
    assert "\n\n\n" not in page


def test_a_cache_that_answers_wrongly_is_not_timed(monkeypatch):
    dummy = peers.Peer("dummy", "django", "django.core.cache.backends.dummy.DummyCache")
    monkeypatch.setitem(peers.PEERS, "memory", [dummy])
    with stores.Stores() as running:
        command = turns.command_of(SECTIONS["memory"], dummy, running, scale.SMOKE, Path())
        with turns.Crew(dummy, command, 1) as crew:
            crew.wait_until_ready()
            with pytest.raises(turns.PeerError, match="get answered None"):
                crew.prepare(sections.Case("get/100B", "get"))


def test_a_process_that_ends_says_why():
    command = [sys.executable, "-c", "raise ValueError('no such cache')"]
    with turns.Crew(peers.SOCKET, command, 1) as crew, pytest.raises(turns.PeerError, match="no such cache"):
        crew.wait_until_ready()


def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(turns, "PATIENCE", 0.1)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with turns.Crew(peers.SOCKET, command, 1) as crew:
        with pytest.raises(turns.PeerError, match="no answer"):
            crew.wait_until_ready()
        assert crew.workers[0].process.wait(10) != 0


def row(unit, **values):
    return results.Row(sections.Case("case", "a case", unit), values)


def test_ratios_are_taken_round_by_round_and_more_is_better():
    slow_and_fast = row("µs", own=[1.0, 2.0], other=[4.0, 6.0])
    assert slow_and_fast.times_better("own", "other") == [4.0, 3.0]
    assert slow_and_fast.best(["own", "other"]) == "own"
    rates = row("operations/s", own=[1.0, 2.0], other=[4.0, 6.0])
    assert rates.times_better("own", "other") == [0.25, 2.0 / 6.0]
    assert rates.best(["own", "other"]) == "other"


@pytest.mark.parametrize(
    ("kind", "bound", "holds"),
    [("times", 4, True), ("times", 4.1, False), ("share", 0.25, True), ("share", 0.2, False), ("added", -3, True)],
)
def test_a_target_holds_at_its_bound(kind, bound, holds):
    table = results.Table("id", "group", "title", {"Pinyon": "pinyon", "other": "incumbent"}, [])
    table.rows = [row("µs", Pinyon=[1.0], other=[4.0])]
    target = targets.Target("id", "case", bound, "other", kind)
    assert targets.verdict(target, {"id": table}).holds is holds


def test_a_verdict_says_what_a_bare_socket_would_reach():
    table = results.Table(
        "id", "group", "title", {"Pinyon": "pinyon", "other": "incumbent", "bare socket": "floor"}, []
    )
    table.rows = [row("µs", Pinyon=[5.0], other=[10.0], **{"bare socket": [4.0]})]
    found = targets.verdict(targets.Target("id", "case", 3), {"id": table})
    assert (found.figure, found.holds, found.floor) == (2, False, "bare socket: 2.5")
    assert "bare socket: 2.5" in found.words()


def test_a_target_may_be_about_a_variant_of_pinyon():
    table = results.Table("id", "group", "title", {"Pinyon": "pinyon", peers.TINYLFU: "variant"}, [])
    table.rows = [row("%", Pinyon=[60.0], **{peers.TINYLFU: [74.0]})]
    target = targets.Target("id", "case", 73, "", "least", peers.TINYLFU)
    assert targets.verdict(target, {"id": table}).holds
    assert not targets.verdict(dataclasses.replace(target, of="Pinyon"), {"id": table}).holds


@pytest.mark.skipif(sys.platform != "linux", reason="processors are chosen on Linux only")
def test_a_process_is_pinned_to_one_processor_and_freed_again():
    process = subprocess.Popen(["sleep", "60"])
    try:
        before = os.sched_getaffinity(process.pid)
        with processors.pinned(process.pid):
            assert len(os.sched_getaffinity(process.pid)) == 1
        assert os.sched_getaffinity(process.pid) == before
    finally:
        process.kill()
        process.wait()


def test_figures_of_the_rust_half_become_lines_with_verdicts(tmp_path):
    def figure(workload, unit, peer, median):
        return {"workload": workload, "unit": unit, "peer": peer, "median": median, "spread": 0.0}

    rows = [
        figure("memory get, 1 thread", "ns", "pinyon", 30.0),
        figure("memory get, 1 thread", "ns", "quick_cache", 20.0),
        figure("memory get, 2 threads", "ops/s", "pinyon tinylfu", 9e6),
        figure("memory get, 2 threads", "ops/s", "quick_cache", 6e6),
    ]
    (tmp_path / "rust.json").write_text(json.dumps(rows))
    slow, fast = rust_results.rust_lines(tmp_path / "rust.json")
    assert "**no**, 1.5" in slow[-1] and "yes, 1.5" in fast[-1]
    assert rust_results.rust_lines(tmp_path / "none.json") == []


@pytest.mark.parametrize("name", traces.TRACES)
def test_a_trace_is_the_same_each_time_and_another_in_each_round(name):
    assert traces.trace(name, 1, 30_000) == traces.trace(name, 1, 30_000)
    assert traces.trace(name, 1, 30_000) != traces.trace(name, 2, 30_000)
    assert len(traces.trace(name, 1, 30_000)) == 30_000


def test_the_page_in_docs_is_made_of_the_results_beside_it():
    reports = performance_page.reports_in(performance_page.RESULTS)
    assert performance_page.rendered(reports) == performance_page.PAGE.read_text(encoding="utf-8")
