"""What a user meets when FoundationDB's package, library or cluster file is not as it should be. Needs none of them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from recordlayer.errors import EngineMissing, EngineUnavailable, InvalidEngineOption, OpenedBeforeFork
from recordlayer.kv.fdb import loading
from recordlayer.kv.registry import open_engine


class FakePackage(ModuleType):
    """The package `fdb`, as far as loading looks at it."""

    LATEST_API_VERSION = 730

    def __init__(self, *, selected: int | None = None) -> None:
        super().__init__("fdb")
        self.selected = selected
        self.asked: list[int] = []

    def is_api_version_selected(self) -> bool:
        return self.selected is not None

    def get_api_version(self) -> int:
        assert self.selected is not None
        return self.selected

    def api_version(self, version: int) -> None:
        self.asked.append(version)
        self.selected = version


def fake_binding(*, speaks: int = 730, thread: object = None) -> Any:
    started: list[bool] = []
    binding = ModuleType("fdb.impl")
    binding._capi = SimpleNamespace(_name="libfdb_c.so", fdb_get_max_api_version=lambda: speaks)  # type: ignore[attr-defined]
    binding._network_thread_reentrant_lock = threading.RLock()  # type: ignore[attr-defined]
    binding._network_thread = thread  # type: ignore[attr-defined]
    binding.init = lambda: started.append(True)  # type: ignore[attr-defined]
    binding.started = started  # type: ignore[attr-defined]
    return binding


@pytest.fixture(autouse=True)
def unloaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing of FoundationDB is loaded, and what a test loads is forgotten."""
    monkeypatch.setattr(loading, "_client", None)
    for name in [name for name in sys.modules if name == "fdb" or name.startswith("fdb.")]:
        monkeypatch.delitem(sys.modules, name)
    yield
    loading._client = None


@pytest.fixture
def cluster_file(tmp_path: Path) -> str:
    path = tmp_path / "fdb.cluster"
    path.write_text("test:test@127.0.0.1:4500\n")
    return str(path)


def install(monkeypatch: pytest.MonkeyPatch, package: FakePackage, binding: Any) -> None:
    monkeypatch.setitem(sys.modules, "fdb", package)
    monkeypatch.setitem(sys.modules, "fdb.impl", binding)
    native = SimpleNamespace(get_client_version=lambda: b"7.3.79,abc,fdb00b073000000")
    monkeypatch.setattr(loading, "Native", lambda name: native)


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, cluster_file: str
) -> None:
    monkeypatch.setitem(sys.modules, "fdb", None)
    with pytest.raises(EngineMissing) as caught:
        open_engine(f"fdb:{cluster_file}")
    assert caught.value.fields["library"] == "foundationdb"
    assert 'pip install "foundationdb>=7.3,<7.4"' in caught.value.hint


def test_a_missing_library_is_named_with_where_it_comes_from(
    monkeypatch: pytest.MonkeyPatch, cluster_file: str
) -> None:
    def import_module(name: str) -> ModuleType:
        if name == "fdb":
            return FakePackage()
        raise Exception("Unable to locate the FoundationDB API shared library!")

    monkeypatch.setattr(loading, "import_module", import_module)
    with pytest.raises(EngineMissing) as caught:
        open_engine(f"fdb:{cluster_file}")
    assert caught.value.fields["library"] == "libfdb_c"
    assert "FoundationDB clients package" in caught.value.hint
    assert "LD_LIBRARY_PATH" in caught.value.hint
    assert isinstance(caught.value.__cause__, Exception)


def test_a_package_newer_than_the_library_is_found_before_an_api_version_is_selected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = FakePackage()
    package.LATEST_API_VERSION = 800
    install(monkeypatch, package, fake_binding(speaks=730))
    with pytest.raises(EngineMissing) as caught:
        loading.client()
    assert caught.value.fields == {"library": "libfdb_c", "found": "7.3", "wanted": "8.0"}
    assert 'pip install "foundationdb>=7.3,<7.4"' in caught.value.hint
    assert package.asked == []


def test_after_the_cure_the_same_process_can_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fdb", None)
    with pytest.raises(EngineMissing):
        loading.client()
    install(monkeypatch, FakePackage(), fake_binding())
    assert loading.client().release == "7.3.79"


def test_the_network_starts_once_and_late(monkeypatch: pytest.MonkeyPatch) -> None:
    binding = fake_binding()
    package = FakePackage()
    install(monkeypatch, package, binding)
    assert binding.started == []
    assert loading.client() is loading.client()
    assert binding.started == [True]
    assert package.asked == [loading.API_VERSION]


def test_an_older_package_selects_its_own_newest_api_version(monkeypatch: pytest.MonkeyPatch) -> None:
    package = FakePackage()
    package.LATEST_API_VERSION = 710
    install(monkeypatch, package, fake_binding(speaks=730))
    assert loading.client().api_version == 710


def test_an_api_version_that_the_program_selected_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    package = FakePackage(selected=720)
    install(monkeypatch, package, fake_binding())
    assert loading.client().api_version == 720
    assert package.asked == []


def test_an_api_version_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, FakePackage(selected=620), fake_binding())
    with pytest.raises(EngineUnavailable) as caught:
        loading.client()
    assert caught.value.fields["api_version"] == 620
    assert "fdb.api_version(730)" in caught.value.hint


def test_a_network_that_the_program_started_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    running = SimpleNamespace(is_alive=lambda: True)
    binding = fake_binding(thread=running)
    install(monkeypatch, FakePackage(), binding)
    loading.client()
    assert binding.started == []


def test_a_network_that_a_fork_left_behind_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = SimpleNamespace(is_alive=lambda: False)
    install(monkeypatch, FakePackage(), fake_binding(thread=dead))
    with pytest.raises(OpenedBeforeFork) as caught:
        loading.client()
    assert "in the child only" in caught.value.hint


def _try_in_child(results: Any) -> None:
    try:
        loading.client()
        results.put("opened")
    except OpenedBeforeFork as error:
        results.put(error.code)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")
def test_a_forked_child_cannot_use_the_client_of_its_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    binding = fake_binding()
    install(monkeypatch, FakePackage(), binding)
    loading.client()
    forking = multiprocessing.get_context("fork")
    results = forking.Queue()
    child = forking.Process(target=_try_in_child, args=(results,))
    child.start()
    assert results.get(timeout=30) == "opened_before_fork"
    child.join()
    assert loading.client() is not None


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "no such file or directory"),
        (lambda path: path.mkdir(), "it is a directory"),
    ],
)
def test_a_cluster_file_that_cannot_be_read_is_named(tmp_path: Path, make: Any, reason: str) -> None:
    path = tmp_path / "fdb.cluster"
    make(path)
    with pytest.raises(EngineUnavailable) as caught:
        open_engine(f"fdb:{path}")
    assert caught.value.fields == {"cluster_file": str(path), "reason": reason}
    assert "cluster file" in caught.value.hint


@pytest.mark.parametrize("value", [-1, "soon", None, True])
def test_a_bad_connect_timeout_is_refused(cluster_file: str, value: object) -> None:
    with pytest.raises(InvalidEngineOption):
        open_engine(f"fdb:{cluster_file}", connect_timeout=value)
