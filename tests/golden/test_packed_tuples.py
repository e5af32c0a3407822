"""Every packed tuple that Java recorded: the same bytes from its values, and its values from the bytes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from recordlayer.core import twins
from recordlayer.tuples import SingleFloat
from tests.support.both_ways import WAYS

JAVA = Path(__file__).parent / "java"
FILES = sorted(JAVA.glob("*.json"))

# Java's text of a tuple: integers, quoted texts without quotes inside, null.
_PLAIN = re.compile(r'\((?:(?:-?\d+|"[^"\\]*"|null)(?:, (?!\))|(?=\))))*\)')
_ITEM = re.compile(r'-?\d+|"[^"\\]*"|null')


def _codec(way: int) -> list[Callable[..., Any]]:
    return [function for name in ("pack", "unpack") if (function := twins[name][way]) is not None]


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _packed(node: Any) -> Iterator[tuple[bytes, str | None]]:
    """All objects that hold a packed tuple, with Java's text of it where there is one."""
    if isinstance(node, dict):
        if "packed" in node:
            yield bytes.fromhex(node["packed"]), node.get("items")
        for child in node.values():
            yield from _packed(child)
    elif isinstance(node, list):
        for child in node:
            yield from _packed(child)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_packed_tuples_and_keys_come_back_as_the_same_bytes(file: Path, way: int) -> None:
    pack, unpack = _codec(way)
    scenario = _read(file)
    recorded = {packed for packed, _ in _packed(scenario)}
    # The directory layer's own keys begin with fe, which no tuple does.
    recorded |= {bytes.fromhex(key) for key, _ in scenario.get("final", []) if not key.startswith("fe")}
    for packed in recorded:
        assert pack(unpack(packed)) == packed


@pytest.mark.parametrize("way", WAYS)
def test_values_pack_to_the_bytes_java_recorded_for_them(way: int) -> None:
    pack, _ = _codec(way)
    seen = 0
    for file in FILES:
        for packed, text in _packed(_read(file)):
            if text is not None and _PLAIN.fullmatch(text):
                assert pack(tuple(_value(item) for item in _ITEM.findall(text))) == packed
                seen += 1
    assert seen > 20


def _value(text: str) -> Any:
    if text == "null":
        return None
    return text[1:-1] if text.startswith('"') else int(text)


# By the name of the directory at the end of the path: how Java prints its value, and what that is here.
_TYPED: dict[str, Callable[[str], Any]] = {
    "flag": lambda text: text == "true",
    "id": uuid.UUID,
    "raw": lambda text: bytes.fromhex(text.removeprefix("0x")),
    "f": lambda text: SingleFloat(float(text)),
    "d": float,
    "none": _value,
    "s": _value,
    "const": _value,
    "app": _value,
    "user": _value,
}


@pytest.mark.parametrize("way", WAYS)
def test_key_space_paths_pack_each_type_as_java_does(way: int) -> None:
    pack, _ = _codec(way)
    kinds = set()
    for path in _read(JAVA / "key-space-paths-a.json")["paths"]:
        steps = [step.split(":", 1) for step in path["values"].split("/")[1:]]
        items = tuple(_TYPED[name](text) for name, text in steps)
        assert pack(items).hex() == path["packed"]
        kinds |= {type(item) for item in items}
    assert kinds == {str, int, bool, uuid.UUID, bytes, SingleFloat, float, type(None)}
