"""What is there in Python and in C: the same arguments to both, and what each of them makes of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import pytest

from recordlayer.core import twins
from recordlayer.errors import RecordLayerError

# The modules whose functions are there in C.
_MODULES = (
    "cursor.continuation",
    "cursor.merging",
    "index.entry",
    "kv.embedded.apply",
    "kv.embedded.scanning",
    "kv.embedded.writes",
    "kv.embedded.writing",
    "kv.mutations",
    "store.direct_writes",
    "waiting.drivers",
    "tuples.packing",
    "tuples.unpacking",
)
for _module in _MODULES:
    importlib.import_module(f"recordlayer.{_module}")

needs_core = pytest.mark.skipif(
    any(compiled is None for _, compiled in twins.values()), reason="no compiled core is installed, or it is left out"
)
WAYS = [pytest.param(0, id="in Python"), pytest.param(1, id="in C", marks=needs_core)]
"""Parameters of a test that is run with either: places in `twins`."""


def outcome(function: Callable[..., Any] | None, *arguments: Any) -> tuple[Any, ...]:
    """What comes back, or all that is known of the error."""
    assert function is not None
    try:
        return "gives", function(*arguments)
    except RecordLayerError as error:
        return "raises", type(error), str(error), error.fields, type(error.__cause__)
    except Exception as error:
        return "raises", type(error), str(error)
