"""The names of `recordlayer.store` that programs use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from recordlayer import store


def test_every_name_leads_to_something_that_is_called_so() -> None:
    assert set(store._HOME) == set(store.__all__)
    for name in store.__all__:
        found = getattr(store, name)
        assert getattr(found, "__name__", name) == name
    with pytest.raises(AttributeError, match="has no attribute 'Cachable'"):
        _ = store.Cachable


def test_importing_the_package_imports_nothing_of_it_yet() -> None:
    program = (
        "import sys, recordlayer.store; print([name for name in sys.modules if name.startswith('recordlayer.store.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
