"""The law of engines: what `recordlayer.kv.engine` promises, as tests that every engine passes.

    class TestMine(EngineSuite):
        url = "mine:"

The tests say what FoundationDB 7.3 does, and pass on a cluster of it; where its documentation is silent they follow
its client (ReadYourWrites, NativeAPI). They need pytest and hypothesis.
"""

from __future__ import annotations

from recordlayer.testing.engine_suite.anomalies import Anomalies
from recordlayer.testing.engine_suite.atomics import Atomics
from recordlayer.testing.engine_suite.conflicts import Conflicts
from recordlayer.testing.engine_suite.harness import CAPABILITIES, Harness, both_drivers, needs
from recordlayer.testing.engine_suite.implied_conflicts import ImpliedConflicts
from recordlayer.testing.engine_suite.keys import Keys
from recordlayer.testing.engine_suite.lifecycle import Lifecycle
from recordlayer.testing.engine_suite.limits import Limits
from recordlayer.testing.engine_suite.metadata_version import MetadataVersion
from recordlayer.testing.engine_suite.model import Model
from recordlayer.testing.engine_suite.options import Options
from recordlayer.testing.engine_suite.own_writes import OwnWrites
from recordlayer.testing.engine_suite.ranges import Ranges
from recordlayer.testing.engine_suite.reads import Reads
from recordlayer.testing.engine_suite.retries import Retries
from recordlayer.testing.engine_suite.selectors import Selectors
from recordlayer.testing.engine_suite.sizes import Sizes
from recordlayer.testing.engine_suite.unreadable import Unreadables
from recordlayer.testing.engine_suite.versions import Versions
from recordlayer.testing.engine_suite.versionstamps import Versionstamps
from recordlayer.testing.engine_suite.watches import Watching


class EngineSuite(
    Reads,
    Ranges,
    Selectors,
    OwnWrites,
    Conflicts,
    ImpliedConflicts,
    Atomics,
    Versionstamps,
    Unreadables,
    MetadataVersion,
    Versions,
    Watching,
    Sizes,
    Limits,
    Options,
    Retries,
    Lifecycle,
    Anomalies,
    Keys,
    Model,
):
    """All of it. A subclass sets

    url      what `open_engine` opens; `{tmp}` stands for a new directory
    options  further arguments of `open_engine`
    lacks    capability -> reason; the tests that need one must then fail (`CAPABILITIES` names them)

    or overrides the fixture `opened_engine`.
    """


__all__ = ["CAPABILITIES", "EngineSuite", "Harness", "both_drivers", "needs"]
