"""The measuring itself: rounds, ratios, output and exit status. How fast anything is, no test says."""

from __future__ import annotations

import ast
import gc
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import recordlayer as rl
from bench import __main__ as command
from bench import output, registry, results
from bench.ground import ground_for
from bench.harness import CannotRun, Contender, Ops, Report, Settings, compare, statement
from recordlayer.tuples import pack
from recordlayer.waiting.drivers import run_blocking
from tests.conftest import CLUSTER_FILE


class Clock:
    """Moves only when a contender says so."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now

    def work(self, nanoseconds: Callable[[], int]) -> Callable[[], None]:
        def run() -> None:
            self.now += nanoseconds()

        return run


@pytest.fixture(autouse=True)
def _no_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heap of a test run is large, and collecting it before every round takes longer than all these tests."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


QUICK = Settings(quick=True)


def test_the_ratio_is_taken_within_rounds(clock: Clock) -> None:
    loads = iter([*range(1, 100)])  # every round is slower than the one before, for both alike
    state = Counter[str]()

    def load(name: str) -> int:
        state[name] += 1
        if state[name] == max(state.values()) and state[name] > state["rounds"]:
            state["rounds"] += 1
            state["load"] = next(loads)
        return state["load"]

    case = compare(
        "job",
        ours=Contender(run=clock.work(lambda: 1_000 * load("ours"))),
        peers={"peer": Contender(run=clock.work(lambda: 4_000 * load("peer")))},
        settings=QUICK,
        timer=clock,
    )
    assert case.ratio == {"peer": 0.25}
    assert (case.ours.min, case.ours.max) == (2.0, QUICK.rounds + 1.0)  # microseconds; the first round is not counted


def test_a_time_is_of_one_operation_in_the_unit_of_the_case(clock: Clock) -> None:
    for unit, expected in (("ns", 5_000.0), ("us", 5.0), ("ms", 0.005)):
        ours = Contender(run=clock.work(lambda: 50_000), operations=10)
        assert compare("job", ours=ours, peers={}, settings=QUICK, unit=unit, timer=clock).ours.median == expected


def test_contenders_take_turns_and_are_prepared_before_each_round() -> None:
    done: list[str] = []

    def contender(name: str) -> Contender:
        return Contender(run=lambda: done.append(name), prepare=lambda: done.append(f"prepare {name}"))

    compare("job", ours=contender("a"), peers={"b": contender("b"), "c": contender("c")}, settings=QUICK)
    runs = [name for name in done if not name.startswith("prepare")]
    assert [done[i - 1] for i, name in enumerate(done) if name in runs] == [f"prepare {name}" for name in runs]
    rounds = [runs[i : i + 3] for i in range(0, len(runs), 3)]
    assert len(rounds) == QUICK.rounds + 1
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert {turn[0] for turn in rounds} == {"a", "b", "c"}


def test_a_target_is_missed_when_the_ratio_is_above_it(clock: Clock) -> None:
    peers = {"slow": Contender(run=clock.work(lambda: 40)), "fast": Contender(run=clock.work(lambda: 5))}
    case = compare(
        "job",
        ours=Contender(run=clock.work(lambda: 10)),
        peers=peers,
        settings=QUICK,
        target={"slow": 0.25, "fast": 1.9},
        timer=clock,
    )
    assert case.missed == {"fast": 1.9}


def test_a_target_for_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="typo"):
        compare("job", ours=Contender(run=int), peers={"peer": Contender(run=int)}, settings=QUICK, target={"typo": 1})


def test_a_statement_is_run_as_often_as_said() -> None:
    seen: list[int] = []
    contender = statement("seen.append(1)", {"seen": seen}, operations=3, times=5)
    contender.run()
    assert (len(seen), contender.operations) == (5, 15)


def _report(clock: Clock, target: float) -> Report:
    case = compare(
        "insert",
        ours=Contender(run=clock.work(lambda: 10_000)),
        peers={
            "sqlite3": Contender(run=clock.work(lambda: 20_000)),
            "peewee": Contender(run=clock.work(lambda: 80_000)),
        },
        settings=QUICK,
        target={"sqlite3": target},
        ops=Ops(reads=1, writes=5, round_trips=1),
        timer=clock,
    )
    return Report(bench="records", engine="file:", cases=(case,))


def test_json_has_the_documented_shape(clock: Clock) -> None:
    report = json.loads(output.as_json(_report(clock, 0.8), quick=True))
    assert set(report.pop("machine")) == {"system", "processor", "cores", "python", "compiled"}
    assert report == {
        "bench": "records",
        "quick": True,
        "engine": "file:",
        "cases": [
            {
                "case": "insert",
                "unit": "us",
                "ours": {"median": 10.0, "min": 10.0, "max": 10.0},
                "peers": {
                    "sqlite3": {"median": 20.0, "min": 20.0, "max": 20.0},
                    "peewee": {"median": 80.0, "min": 80.0, "max": 80.0},
                },
                "ratio": {"sqlite3": 0.5, "peewee": 0.125},
                "target": {"sqlite3": 0.8},
                "ops": {"reads": 1, "writes": 5, "round_trips": 1},
            }
        ],
    }


def test_the_table_shows_ratios_targets_and_costs(clock: Clock) -> None:
    lines = output.as_table(_report(clock, 0.4)).splitlines()
    assert lines[0].startswith("records: ")
    assert lines[0].endswith("engine file:")
    words = [" ".join(line.split()) for line in lines]
    assert words[3] == "insert (1 reads, 5 writes, 1 round trips) 10 us sqlite3 20 us 0.50 0.40 MISSED"
    assert words[4] == "peewee 80 us 0.12"


@pytest.mark.parametrize(("target", "check", "status"), [(0.8, True, 0), (0.4, True, 1), (0.4, False, 0)])
def test_a_missed_target_is_an_exit_status_only_when_asked_for(
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    target: float,
    check: bool,
    status: int,
) -> None:
    monkeypatch.setattr(command, "load", lambda name: lambda settings: _report(clock, target))
    assert command.main(["tuples", "--quick", *(["--check"] if check else [])]) == status
    assert ("missed: insert: 0.50 times sqlite3" in capsys.readouterr().err) == (target < 0.5)


def test_without_a_case_the_benches_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(registry.benches())
    assert all(about in line for line, about in zip(lines, registry.benches().values(), strict=True))
    assert "fdb.tuple" in registry.benches()["tuples"]
    assert {line.split()[0]: line.endswith("[memory:, file:, fdb:]") for line in lines}["index"]


def test_an_unknown_case_and_a_missing_library_are_wrong_use(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main(["tupels"]) == 2
    assert "tuples" in capsys.readouterr().err

    def load(name: str) -> Any:
        raise ModuleNotFoundError("No module named 'fdb'", name="fdb")

    monkeypatch.setattr(command, "load", load)
    assert command.main(["tuples"]) == 2
    assert "pip install 'recordlayer[bench]'" in capsys.readouterr().err


def test_all_benches_run_one_after_the_other_but_those_that_cannot(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Any:
        def run(settings: Settings) -> Report:
            if name == "cluster":
                raise CannotRun("there is no cluster")
            return replace(_report(clock, 1.0), bench=name)

        return run

    monkeypatch.setattr(command, "load", load)
    assert command.main(["all", "--quick", "--json"]) == 0
    printed = capsys.readouterr()
    assert [bench["bench"] for bench in json.loads(printed.out)["benches"]] == [
        name for name in registry.benches() if name != "cluster"
    ]
    assert printed.err == "bench cluster: there is no cluster\n"
    assert command.main(["cluster"]) == 2


def test_a_bench_runs_on_the_engine_that_is_named_or_says_that_it_does_not(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, str | None] = {}

    def load(name: str) -> Any:
        def run(settings: Settings) -> Report:
            told[name] = settings.engine
            return replace(_report(clock, 1.0), bench=name)

        return run

    monkeypatch.setattr(command, "load", load)
    assert command.main(["index", "--engine", "file:somewhere"]) == 0
    assert command.main(["index"]) == 0
    capsys.readouterr()
    for name, url, reason in (
        ("tuples", "memory:", "it does not run on memory:; it leaves no choice of engine"),
        ("engine", "fdb:", "it does not run on fdb:; it runs on file:"),
    ):
        assert command.main([name, "--engine", url]) == 2
        assert capsys.readouterr().err == f"bench {name}: {reason}\n"
    assert command.main(["index", "--engine", "file"]) == 2
    assert "there is no engine 'file'" in capsys.readouterr().err
    assert told == {"index": None}
    assert command.main(["all", "--engine", "fdb:a.cluster"]) == 0
    assert told == {name: "fdb:a.cluster" for name in registry.benches() if "fdb" in registry.engines(name)}
    assert {"index", "query", "peers", "cluster"} <= told.keys()


def test_the_ground_of_a_bench_is_new_and_gone_afterwards(tmp_path: Path) -> None:
    place = tmp_path / "new"
    for url, kind in ((None, "memory:"), ("memory:", "memory:"), ("file:", "file:"), (f"file:{place}", "file:")):
        with ground_for(Settings(engine=url), "any", "memory") as ground:
            one, other = ground.engine("one"), ground.engine("other")
            assert (ground.kind, ground.engine("one") is one, other is one) == (kind, True, False)
            assert pack(ground.path("store")).startswith(ground.prefix())
            assert ground.file("one").exists() == (kind == "file:")
            assert (ground.directory == place) == (url == f"file:{place}")
        assert not ground.directory.exists()
    place.mkdir()
    (place / "precious").touch()
    with pytest.raises(CannotRun, match="a new directory"), ground_for(Settings(engine=f"file:{place}"), "any", "file"):
        pass
    assert (place / "precious").exists()
    nowhere = Settings(engine=f"fdb:{tmp_path}/no.cluster")
    with ground_for(nowhere, "any", "fdb") as ground, pytest.raises(CannotRun):
        ground.engine("one")


@pytest.mark.fdb
def test_on_a_cluster_a_bench_leaves_what_others_have() -> None:
    cluster_url = f"fdb:{CLUSTER_FILE}"
    prefix = pack(("recordlayer bench", "any"))
    with rl.open(cluster_url) as db:
        with ground_for(Settings(engine=cluster_url), "any", "memory") as ground:
            assert (ground.engine("one") is ground.engine("other"), ground.prefix()) == (True, prefix)
            with db.transaction() as tx:
                tx.context.set(prefix, b"ours")
                tx.context.set(prefix[:-1], b"another's")
        with db.transaction() as tx:
            left = run_blocking(tx.context.read_all(prefix[:-1], prefix + b"\xff"))
            tx.context.clear(prefix[:-1])
    assert [tuple(row) for row in left] == [(prefix[:-1], b"another's")]


def test_results_are_written_to_be_read(clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = _report(clock, 0.4)
    every, one = tmp_path / "all.json", tmp_path / "one.json"
    others = [replace(report, bench=name) for name in ("tuples", "cluster", "peers", "engine_tasks")]
    every.write_text(output.all_as_json([report, *others], quick=True))
    one.write_text(output.as_json(replace(report, bench="cluster", engine="fdb:"), quick=False))
    assert results.main([str(every), str(one), str(tmp_path / "out")]) == 0
    written = (tmp_path / "out" / "RESULTS.md").read_text()
    assert "`python -m bench NAME --quick` (`cluster`: without `--quick`)" in written
    assert [line for line in written.splitlines() if line.startswith("## ")] == [
        "## peers, on file:",
        "## cluster, on fdb:",
        "## engine_tasks, on file:",
        "## records, on file:",
        "## tuples, on file:",
    ]
    assert "| insert | " in written
    assert "| 0.50 | 0.40 | **missed** |" in written
    assert results.main([str(every)]) == 2
    every.write_text(output.all_as_json([], quick=True))
    capsys.readouterr()
    assert results.main([str(every), str(tmp_path / "nothing")]) == 2
    assert "nothing was measured" in capsys.readouterr().err


def test_plots_of_growth_have_a_line_for_each_job(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it comes with recordlayer[bench]")
    spread = {"median": 2.0, "min": 1.0, "max": 3.0}

    def case(name: str, unit: str, peer: str) -> dict[str, Any]:
        return {"case": name, "unit": unit, "ours": spread, "peers": {peer: spread}, "ratio": {peer: 1.2}}

    growth = [case(f"get, {size} records", "us", "1,000 records") for size in ("10,000", "100,000")]
    growth.append(case("memory that reading takes, 10,000 records", "MiB", "at most"))
    growth.append(case("bytes of the file for a record, 10,000 records", "bytes", "at most"))
    stores = [case("open one and load a record, 100 stores", "us", "1 store")]
    benches: list[dict[str, Any]] = [{"bench": "growth", "cases": growth}, {"bench": "stores", "cases": stores}]
    ratio = results.first_ratio
    assert results.by_size(benches, "growth", "records", "us", ratio) == {
        "get": [(1_000, 1.0), (10_000, 1.2), (100_000, 1.2)]
    }
    assert results.by_size(benches, "stores", "stores", "us", ratio) == {
        "open one and load a record": [(1, 1.0), (100, 1.2)]
    }
    drawn = [name for name, plot in results.PLOTS.items() if plot(benches, tmp_path / f"{name}.png")]
    assert drawn == ["growth", "memory"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["growth.png", "memory.png"]


def test_only_modules_with_a_run_function_are_benches() -> None:
    package, benches = Path(registry.__file__).parent, registry.benches()
    for file in package.glob("*.py"):
        defined = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert (file.stem in benches) == ("run" in defined)
