"""What tests of this library, and of engines and index types written elsewhere, are made of.

EngineSuite  the law of engines, a class of tests (needs pytest and hypothesis)
IndexSuite   the same for index types
Counting     an engine that counts what is asked of another
simulate     programs under a seeded scheduler, with its own clock, faults and processes that die
Faulty       an engine whose commits fail as a test says, also when they have happened
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recordlayer.testing.counting import Counting, Counts
    from recordlayer.testing.engine_suite import EngineSuite
    from recordlayer.testing.faults import Fault, Faulty
    from recordlayer.testing.index_suite import History, IndexSuite
    from recordlayer.testing.simulation import Simulation, seeds, simulate

__all__ = [
    "Counting",
    "Counts",
    "EngineSuite",
    "Fault",
    "Faulty",
    "History",
    "IndexSuite",
    "Simulation",
    "seeds",
    "simulate",
]


def __getattr__(name: str) -> object:
    # On use only: counting needs no pytest, and the suite's assertions must be rewritten before it is imported.
    if name == "EngineSuite":
        import pytest

        pytest.register_assert_rewrite("recordlayer.testing.engine_suite")
        from recordlayer.testing.engine_suite import EngineSuite

        return EngineSuite
    if name in ("History", "IndexSuite"):
        import pytest

        pytest.register_assert_rewrite("recordlayer.testing.index_suite")
        from recordlayer.testing import index_suite

        return getattr(index_suite, name)
    if name in ("Counting", "Counts"):
        from recordlayer.testing import counting

        return getattr(counting, name)
    if name in ("Fault", "Faulty"):
        from recordlayer.testing import faults

        return getattr(faults, name)
    if name in ("Simulation", "seeds", "simulate"):
        from recordlayer.testing import simulation

        return getattr(simulation, name)
    raise AttributeError(name)
