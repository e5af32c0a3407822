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

from bench import __main__ as command
from bench import output, registry, results
from bench.harness import CannotRun, Contender, Ops, Report, Settings, compare, statement


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
    report = json.loads(output.as_json(_report(clock, 0.8)))
    assert set(report.pop("machine")) == {"system", "processor", "cores", "python", "compiled"}
    assert report == {
        "bench": "records",
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
    assert capsys.readouterr().out.splitlines() == [f"{name:10} {about}" for name, about in registry.benches().items()]
    assert "fdb.tuple" in registry.benches()["tuples"]


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


def test_results_are_written_to_be_read(clock: Clock, tmp_path: Path) -> None:
    measured = tmp_path / "measured.json"
    measured.write_text(output.all_as_json([_report(clock, 0.4)], quick=True))
    assert results.main([str(measured), str(tmp_path / "out")]) == 0
    written = (tmp_path / "out" / "RESULTS.md").read_text()
    assert "`python -m bench NAME --quick`" in written
    assert "| insert | " in written
    assert "| 0.50 | 0.40 | **missed** |" in written
    assert results.main([str(measured)]) == 2


def test_only_modules_with_a_run_function_are_benches() -> None:
    package = Path(registry.__file__).parent
    for file in package.glob("*.py"):
        defined = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
        assert (file.stem in registry.benches()) == ("run" in defined)
