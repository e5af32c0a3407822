"""What a process imports to open a database, and what it waits with until it is asked for: counted in modules."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from recordlayer.index.registry import BUILT_IN
from tests.house.tree import ROOT

INDEX_TYPES = {f"recordlayer.index.{home.partition(':')[0]}" for home in BUILT_IN.values()}

LATER = {
    "asyncio": "whoever blocks needs no loop",
    "importlib.metadata": "whoever uses what other packages offer asks for it",
    "recordlayer.kv.fdb": "the embedded engine is no cluster",
    "recordlayer.aio": "the other facade",
    "recordlayer.online": "an online build asks for it",
    "recordlayer.query.execute": "a query asks for it",
    "recordlayer.query.plan": "a query asks for it",
    "recordlayer.query.planner": "a query asks for it",
    "recordlayer.query.rules": "a query asks for it",
    "recordlayer.testing": "tests ask for it",
    **dict.fromkeys(INDEX_TYPES, "an index of the type asks for it"),
}
"""What opening a database does not import, each with who does."""

SAVE = """
from google.protobuf.any_pb2 import DESCRIPTOR, Any
builder = rl.RecordMetaDataBuilder(DESCRIPTOR).primary_key("Any", rl.field("type_url"))
metadata = builder.index("Any", "by_value", rl.field("value")).build()
with db.transaction() as tx:
    tx.store(metadata, path=("any",)).save(Any(type_url="a", value=b"1"))
"""


def imported(work: str) -> set[str]:
    """The modules that a new process has when it has opened a database and done some work."""
    program = f'import sys, recordlayer as rl\ndb = rl.open("memory:")\n{work}\ndb.close()\nprint(*sys.modules)'
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_opening_a_database_imports_nothing_that_a_program_may_never_ask_for() -> None:
    for name in LATER:
        import_module(name)  # no name here has gone out of use
    assert imported("") & LATER.keys() == set()


def test_saving_records_imports_the_types_of_their_indexes_and_no_planner() -> None:
    assert imported(SAVE) & LATER.keys() == {"recordlayer.index.value"}


def test_a_query_imports_the_planner_and_no_more_types_of_indexes() -> None:
    asked = '    tx.store(metadata, path=("any",)).query(rl.query("Any").where(rl.q.value == b"1")).all()'
    found = imported(f"{SAVE}{asked}")
    assert found & INDEX_TYPES == {"recordlayer.index.value"}
    assert "recordlayer.query.planner" in found


@pytest.mark.parametrize("package", ["recordlayer", "recordlayer.aio", "recordlayer.observe", "recordlayer.store"])
def test_what_a_package_gives_on_demand_is_what_it_offers(package: str) -> None:
    module = import_module(package)
    assert set(module._HOME) | ({"query"} & set(module.__all__)) == set(module.__all__)
    for name in module.__all__:
        assert getattr(getattr(module, name), "__name__", name) in (name, f"{package}.{name}")
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'Cachable'"):
        _ = module.Cachable
