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
    cpu_profile,
    pages,
    peers,
    performance_page,
    processors,
    profile_tables,
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

    def turns(workload, unit, **rounds):
        return {"workload": workload, "unit": unit, "rounds": rounds}

    criterion, beside, none = (tmp_path / name for name in ("rust.json", "rust-beside.json", "none.json"))
    criterion.write_text(
        json.dumps(
            [
                figure("memory get, 1 thread", "ns", "pinyon", 1.0),
                figure("pickle read", "ns", "pinyon", 30.0),
                figure("pickle read", "ns", "serde-pickle", 20.0),
            ]
        )
    )
    # The ratio of the medians would be another one.
    own, other = [30.0, 31.0, 90.0, 33.0], [20.0, 20.5, 60.0, 10.0]
    beside.write_text(
        json.dumps(
            [
                turns("memory get, 1 thread", "ns", pinyon=own, quick_cache=other),
                turns("memory get, 2 threads", "ops/s", pinyon=other, **{"pinyon tinylfu": own}, quick_cache=other),
            ]
        )
    )
    slow, fast, plain = rust_results.rust_lines(criterion, beside)
    assert slow[2] == "pinyon 32" and "**no**, 1.51 (" in slow[-1]
    assert "yes, 1.51 (" in fast[-1]
    assert plain == ["pickle read", "ns", "pinyon 30", "serde-pickle 20", ""]
    assert rust_results.failed_workloads(beside) == ["memory get, 1 thread"]
    assert rust_results.rust_lines(none, none) == [] and rust_results.failed_workloads(none) == []


SAMPLES = """
         swapper     0/0      ffffffff821f4dab pv_native_safe_halt ([kernel.kallsyms])
         swapper     0/0      ffffffff821f4dab pv_native_safe_halt ([kernel.kallsyms])
          python    41/41     ffffffff815e3604 tcp_sendmsg ([kernel.kallsyms])
          python    41/41         7f0000001000 _PyEval_EvalFrameDefault (/usr/lib/libpython3.13.so.1.0)
          pool 1    41/43         7f0000002000 find<a::B (u8)> (/site packages/_pinyon.cpython-313-x86_64-linux-gnu.so)
          python    41/41         7f0000003000 [unknown] (/usr/lib/libc.so.6)
    redis-server    77/77     ffffffff815e3604 tcp_sendmsg ([kernel.kallsyms])
    redis-server    77/79         7f0000004000 call (/usr/bin/redis-server)
            cron    99/99         7f0000005000 main (/usr/sbin/cron)
          python    41/41         7f0000006000 task_step (/lib-dynload/_asyncio.cpython-313-x86_64-linux-gnu.so)
"""


def test_a_profile_tells_whose_time_it_is():
    samples = cpu_profile.read(SAMPLES)
    assert cpu_profile.shares(samples, clients={41}, servers={77}) == {
        "idle": 0.2,
        "interpreter": 0.2,
        "server": 0.2,
        "kernel": 0.1,
        "client": 0.1,
        "C library": 0.1,
        "others": 0.1,
    }
    own = [sample for sample in samples if sample.process == 77]
    assert cpu_profile.functions(own) == [("the kernel", 0.5), ("call", 0.5)]
    assert samples[4].command == "pool 1" and samples[4].function == "find<a::B (u8)>"


def test_a_profile_becomes_times_of_one_operation(tmp_path):
    path = tmp_path / "profiles.json"
    assert profile_tables.part_table(path) is None and profile_tables.function_lines(path) == []
    parts = {"idle": 0.5, "interpreter": 0.1, "client": 0.2, "server": 0.2}
    case = {"title": "get", "peer": "Pinyon", "wall": 10.0, "unit": "µs", "parts": parts}
    rust = {**case, "functions": [["<a::B<C> as D>::find", 0.25], ["e::F<G<H>>::get", 0.5]]}
    path.write_text(json.dumps({"date": "2026-11-27", "processors": 2, "cases": [case], "rust": [rust]}))
    table = profile_tables.part_table(path)
    assert table["lines"] == [["get", "Pinyon", "10 µs", "2", "4", "", "", "", "4", "", "50 %"]]
    assert len(table["heads"]) == len(table["lines"][0])
    (line,) = profile_tables.function_lines(path)
    assert line[2:] == ["program 30 %, server 20 %, idle 50 %", "`find` 25 %; `e::F::get` 50 %"]


def test_what_does_not_hold_is_what_is_looked_at(directory):
    tables = [table for report in performance_page.reports_in(directory) for table in report.tables]
    failed = [found.target for found in targets.verdicts(tables) if not found.holds]
    cases = cpu_profile.cases_to_look_at(tables)
    compared = {found.section for found in failed if found.kind in cpu_profile.COMPARED}
    assert compared and {section for section, _ in cases} == compared
    for (section, case), names in cases.items():
        table = next(table for table in tables if table.id == section)
        assert peers.PINYON in names and len(names) > 1 and names <= set(table.peers), (section, case)


@pytest.mark.parametrize("name", traces.TRACES)
def test_a_trace_is_the_same_each_time_and_another_in_each_round(name):
    assert traces.trace(name, 1, 30_000) == traces.trace(name, 1, 30_000)
    assert traces.trace(name, 1, 30_000) != traces.trace(name, 2, 30_000)
    assert len(traces.trace(name, 1, 30_000)) == 30_000


def test_the_page_in_docs_is_made_of_the_results_beside_it():
    reports = performance_page.reports_in(performance_page.RESULTS)
    assert performance_page.rendered(reports) == performance_page.PAGE.read_text(encoding="utf-8")
