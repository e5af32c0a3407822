"""The compiled core is built where it can be, and nothing fails where it cannot."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
import sysconfig
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.house.tree import ROOT, read

HOOK = ROOT / "native" / "build_hook.py"
SUFFIX = sysconfig.get_config_var("EXT_SUFFIX")
CAN_COMPILE = shutil.which("cc") is not None and Path(sysconfig.get_path("include"), "Python.h").is_file()


class _Interface:
    """As much of hatchling's as the hook uses: hatchling itself is only in the environments of builds."""

    def __init__(self, root: Path, target: str) -> None:
        self.root = str(root)
        self.target_name = target
        self.said: list[str] = []
        self.app = SimpleNamespace(display_info=self.said.append, display_warning=self.said.append)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Any:
    interface = ModuleType("interface")
    interface.BuildHookInterface = _Interface  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "hatchling.builders.hooks.plugin.interface", interface)
    for name in ("hatchling", "hatchling.builders", "hatchling.builders.hooks", "hatchling.builders.hooks.plugin"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.delenv("RECORDLAYER_PURE", raising=False)
    spec = importlib.util.spec_from_file_location("build_hook", HOOK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def source(folder: Path, text: str) -> Path:
    """A project whose core has this text."""
    (folder / "native").mkdir()
    (folder / "recordlayer").mkdir()
    (folder / "native" / "module.c").write_text(text)
    return folder


MODULE = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, .m_name = "_core"};
PyMODINIT_FUNC PyInit__core(void) { return PyModuleDef_Init(&definition); }
"""


@pytest.mark.skipif(not CAN_COMPILE, reason="there is no C compiler here, or no headers of Python")
def test_a_wheel_carries_what_was_compiled_and_is_tagged_for_it(hook: Any, tmp_path: Path) -> None:
    build = hook.CompiledCore(source(tmp_path, MODULE), "wheel")
    data: dict[str, Any] = {"force_include": {}}
    build.initialize("standard", data)
    assert data["pure_python"] is False
    assert data["infer_tag"] is True
    [(made, place)] = data["force_include"].items()
    assert place == f"recordlayer/_core{SUFFIX}"
    assert Path(made).stat().st_size > 0
    assert not list((tmp_path / "recordlayer").iterdir()), "the source tree is left as it is"
    build.finalize("standard", data, "")
    assert not Path(made).exists()


@pytest.mark.skipif(not CAN_COMPILE, reason="there is no C compiler here, or no headers of Python")
def test_an_editable_installation_has_it_in_the_tree_until_it_can_be_compiled_no_more(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = source(tmp_path, MODULE)
    for text, there in [(MODULE, [f"_core{SUFFIX}"]), ("this is no C", [])]:
        (project / "native" / "module.c").write_text(text)
        build = hook.CompiledCore(project, "wheel")
        data: dict[str, Any] = {"force_include": {}}
        build.initialize("editable", data)
        build.finalize("editable", data, "")
        assert [path.name for path in (project / "recordlayer").iterdir()] == there
        assert data.get("pure_python", True) is not bool(there)
        assert data["force_include"] == {}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RECORDLAYER_PURE", "1", "RECORDLAYER_PURE is set"),
        ("CC", "no-such-compiler", "no-such-compiler"),
        ("CC", "false", "status 1"),
        ("CC", "true", "status 1"),  # a compiler that says all is well and writes nothing
    ],
)
def test_without_a_compiler_the_package_is_pure(
    hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(hook, "sysconfig", _with_headers(tmp_path))
    build = hook.CompiledCore(source(tmp_path, MODULE), "wheel")
    data: dict[str, Any] = {"force_include": {}}
    build.initialize("standard", data)
    assert data == {"force_include": {}}
    assert len(build.said) == 1
    assert said in build.said[0]


def test_without_headers_the_package_is_pure(hook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = SimpleNamespace(
        get_config_var=sysconfig.get_config_var, get_path=lambda kind: str(tmp_path / "nowhere" / kind)
    )
    monkeypatch.setattr(hook, "sysconfig", nowhere)
    build = hook.CompiledCore(source(tmp_path, MODULE), "wheel")
    data: dict[str, Any] = {"force_include": {}}
    build.initialize("standard", data)
    assert data == {"force_include": {}}
    assert "no Python.h" in build.said[0]


def test_an_archive_of_the_sources_compiles_nothing(hook: Any, tmp_path: Path) -> None:
    build = hook.CompiledCore(source(tmp_path, "this is no C"), "sdist")
    data: dict[str, Any] = {"force_include": {}}
    build.initialize("standard", data)
    build.finalize("standard", data, "")
    assert data == {"force_include": {}}
    assert build.said == []


def test_the_core_and_who_uses_it_have_the_same_revision() -> None:
    [in_c] = re.findall(r"^#define REVISION (\d+)", read("native/module.c"), flags=re.MULTILINE)
    [in_python] = re.findall(r"^_REVISION: Final = (\d+)", read("recordlayer/core.py"), flags=re.MULTILINE)
    assert in_c == in_python


def _with_headers(folder: Path) -> Any:
    (folder / "include").mkdir()
    (folder / "include" / "Python.h").write_text("")
    return SimpleNamespace(
        get_config_var=lambda name: "cc -shared" if name == "LDSHARED" else SUFFIX,
        get_path=lambda kind: str(folder / "include"),
    )
