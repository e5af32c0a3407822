"""The cases of tests/conformance: read, and told whether what a server answers is what is written there.

README.md in that folder says what the words mean; `tests/node/conformance.js` is the same in another language.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from google.rpc import code_pb2

FOLDER = Path(__file__).resolve().parents[1] / "conformance"
CONTAINER = "conformance"
_STATUSES = {"status", "others"}
_INFO, _RETRY = "google.rpc.ErrorInfo", "google.rpc.RetryInfo"


@dataclass(frozen=True)
class Case:
    suite: str
    name: str
    steps: list[dict[str, Any]]

    def __str__(self) -> str:
        return f"{self.suite}: {self.name}"


def cases() -> Iterator[Case]:
    for path in sorted(FOLDER.glob("*.yaml")):
        suite = yaml.safe_load(path.read_text(encoding="utf-8"))
        for one in suite["cases"]:
            yield Case(suite["suite"], one["name"], one["steps"])


@dataclass
class Judge:
    """What one case has kept under names, and the comparison with it."""

    kept: dict[str, Any] = field(default_factory=dict)

    def filled(self, written: Any) -> Any:
        """A request with what is kept in the place of names."""
        if isinstance(written, dict):
            return {name: self.filled(value) for name, value in written.items()}
        if isinstance(written, list):
            return [self.filled(value) for value in written]
        return self.kept[written] if isinstance(written, str) and written.startswith("$") else written

    def differences(self, written: Any, found: Any, where: str = "reply") -> Iterator[str]:
        """Where a reply is not what is written."""
        match written:
            case "$any":
                if is_empty(found):
                    yield f"{where}: there is nothing"
            case "$absent":
                if not is_empty(found):
                    yield f"{where}: {found!r} is there"
            case str() if written.startswith("$"):
                if written not in self.kept:
                    self.kept[written] = found
                    if is_empty(found):
                        yield f"{where}: there is nothing to keep as {written}"
                elif self.kept[written] != found:
                    yield f"{where}: {found!r} is not {written}, which is {self.kept[written]!r}"
            case {"$not": other}:
                if not list(Judge(dict(self.kept)).differences(other, found)):
                    yield f"{where}: {found!r} is what it must not be"
            case {"$set": value}:
                if found is None:
                    yield f"{where}: it is not set"
                yield from self.differences(value, found, where)
            case dict():
                for name, value in written.items():
                    inner = found.get(name) if isinstance(found, Mapping) else None
                    there = self.of_status if name in _STATUSES else self.differences
                    yield from there(value, inner, f"{where}.{name}")
            case list():
                items = found or []
                if len(items) != len(written):
                    yield f"{where}: {len(items)} elements and not {len(written)}: {items!r}"
                for place, (value, item) in enumerate(zip(written, items, strict=False)):
                    yield from self.differences(value, item, f"{where}[{place}]")
            case _:
                if not _same(written, found):
                    yield f"{where}: {found!r} and not {written!r}"

    def of_status(self, written: dict[str, Any], found: Any, where: str = "status") -> Iterator[str]:
        """The same of a google.rpc.Status."""
        found = found or {}
        details = {detail["@type"].rpartition("/")[2]: detail for detail in found.get("details", ())}
        info = details.get(_INFO, {})
        told = {
            "code": code_pb2.Code.Name(found.get("code", 0)),
            "reason": info.get("reason", ""),
            "retry": _RETRY in details,
            "metadata": info.get("metadata", {}),
        }
        yield from self.differences(written, told, f"{where} {found.get('message', '')!r}")


def is_empty(found: Any) -> bool:
    if isinstance(found, Mapping):
        return not found
    return found in (None, "", 0, "0", False, [])


def _same(written: Any, found: Any) -> bool:
    if is_empty(written) and is_empty(found):
        return True
    if isinstance(written, bool) or isinstance(found, bool):
        return written is found
    if isinstance(written, float):
        return float(found) == written
    if isinstance(written, int) or (isinstance(found, int) and str(written).lstrip("-").isdigit()):
        return str(written) == str(found)
    return bool(written == found)


def context(user: str) -> dict[str, Any]:
    return {"container": CONTAINER, "database": {"scope": "PRIVATE", "user": user}}
