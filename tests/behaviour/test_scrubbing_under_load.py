"""Scrubs beside writers: nobody's writing is taken for a fault, and a recount is exact whatever is written meanwhile.

RECORDLAYER_LONG_TESTS=1 for tens of thousands of records.
"""

from __future__ import annotations

from typing import Any

import pytest

from recordlayer.online.options import WorkLimits
from recordlayer.tuples import pack
from tests.behaviour.conftest import ENGINES
from tests.behaviour.test_builds_under_load import METADATA, NAMES, Writers, build, check, database, fill
from tests.support.embedded import LONG
from tests.support.shop import PATH

FEW = WorkLimits(records=20, records_per_second=None)


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("repair", [False, True], ids=["looking", "repairing"])
@pytest.mark.parametrize("url", ENGINES)
def test_what_others_write_meanwhile_is_no_fault(url: str, repair: bool) -> None:
    with database(url) as db:
        fill(db)
        assert build(db).finished
        with Writers(db) as writers:
            report = db.index_scrubber(METADATA, path=PATH, limits=FEW, repair=repair).scrub()
        assert report.finished
        assert set(report.indexes) == set(NAMES)
        assert report.findings == ()
        assert writers.written
        check(db)


@pytest.mark.timeout(3600 if LONG else 120)
@pytest.mark.parametrize("url", ENGINES)
def test_what_is_wrong_is_put_right_while_others_write(url: str) -> None:
    with database(url) as db:
        fill(db)
        assert build(db).finished
        with db.transaction() as tx:
            core = tx.store(METADATA, path=PATH).core
            for name, items, value in (
                ("per_customer", ("c1",), 1_000_000),
                ("per_customer", ("c3",), 0),
                ("sales", ("nobody",), 7),
            ):
                prefix = core.layout.prefix + b"\x15\x02" + pack((name,))
                core.context.set(pack(items, prefix), value.to_bytes(8, "little"))
        with Writers(db):
            report = db.index_scrubber(METADATA, path=PATH, limits=FEW, repair=True).scrub()
        assert report.finished
        assert {(finding.where, finding.detail[0]) for finding in report.findings} == {
            ("index per_customer", ("c1",)),
            ("index per_customer", ("c3",)),
            ("index sales", ("nobody",)),
        }
        assert report.found == report.repaired == 3
        check(db)


class Killed(BaseException):
    """The end of a scrub that says goodbye to nobody."""


def test_a_scrub_that_is_killed_again_and_again_comes_to_the_end() -> None:
    with database("memory:") as db:
        fill(db)
        assert build(db).finished
        looked = [0]

        def kill(report: Any) -> None:
            looked[0] += report.records + report.entries
            if report.transactions >= 2:
                raise Killed

        names = ("by_customer", "ranked", "words")
        killed = 0
        for _ in range(200):
            scrubber = db.index_scrubber(METADATA, path=PATH, indexes=names, limits=FEW, told=kill)
            try:
                if scrubber.scrub().finished:
                    break
            except Killed:
                killed += 1
        assert killed > 10, "it went on from where it was"
        assert killed < 199
        check(db)
