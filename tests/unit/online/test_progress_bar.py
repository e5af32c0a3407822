"""The line that says how far a build is: on terminals, in files, and where there is little room."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta

import pytest

from recordlayer.errors import UsageError
from recordlayer.online.indexer import BuildReport
from recordlayer.online.progress_bar import ProgressBar, line

HALF = BuildReport(
    finished=False,
    indexes=("by_customer", "per_customer"),
    records=5_000,
    scanned=6_000,
    total=12_000,
    took=timedelta(seconds=10),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_says_what_how_far_how_fast_and_how_long() -> None:
    assert (
        line(HALF, width=120)
        == "by_customer, per_customer  [##########----------]  50 %  6,000 of 12,000 records  500/s  0:12 left"
    )
    assert line(replace(HALF, finished=True, indexes=("x",)), width=120).startswith("x  [####################] 100 %")


def test_what_nobody_counts_has_no_bar() -> None:
    assert line(replace(HALF, total=None, indexes=("x",))) == "x  6,000 records  500/s"
    assert line(replace(HALF, total=None, indexes=("x",), took=timedelta(0))) == "x  6,000 records"


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100])
@pytest.mark.parametrize("names", [("a",), ("an_index_with_a_long_name",) * 5])
def test_no_line_is_longer_than_there_is_room(width: int, names: tuple[str, ...]) -> None:
    for scanned in (0, 10**6, 10**12):
        for took in (0, 1, 10**7):
            report = replace(HALF, indexes=names, scanned=scanned, total=10**12, took=timedelta(seconds=took))
            text = line(report, width=width)
            assert len(text) <= width
            assert text.isascii()
            assert "%" in text


def test_a_terminal_has_one_line_that_is_drawn_anew() -> None:
    stream = Terminal()
    with ProgressBar(stream) as bar:
        bar(HALF)
        bar(replace(HALF, scanned=9_000))
    first, second = stream.getvalue().split("\r")[1:]
    assert len(first) == 79
    assert "50 %" in first
    assert "75 %" in second
    assert second.endswith("\n")


def test_a_file_has_a_line_now_and_then_and_the_last_one() -> None:
    stream = io.StringIO()
    with ProgressBar(stream, every=timedelta(seconds=10)) as bar:
        for second in range(25):
            bar(replace(HALF, scanned=second * 100, took=timedelta(seconds=second)))
    lines = stream.getvalue().splitlines()
    assert [one.split("%  ")[1].split(" of")[0] + " of" for one in lines] == [
        "0 of",
        "1,000 of",
        "2,000 of",
        "2,400 of",
    ]
    assert "\r" not in stream.getvalue()


def test_nothing_is_drawn_of_a_build_that_did_nothing() -> None:
    stream = Terminal()
    with ProgressBar(stream):
        pass
    assert stream.getvalue() == ""


def test_a_line_needs_some_room() -> None:
    with pytest.raises(UsageError):
        ProgressBar(io.StringIO(), width=10)
