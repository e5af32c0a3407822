"""What a disk may hold after the power went: every write that was synced, and of the others any sectors.

Model   A sync of a file makes all earlier writes to it durable, a write through O_DSYNC itself. Everything else may be
        on the disk or not, sector by sector, in any order; so may the size of a file. A name appears or changes when
        its directory is synced at the latest, at once at the earliest.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.disk_shim import Record

SECTOR = 512
File = tuple[int, int]


@dataclass
class _Content:
    """A file: what is surely on the disk, and what may be."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def write(self, offset: int, data: bytes) -> None:
        self.pending.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.pending:
            _put(self.durable, offset, data)
        if self.sizes:
            size = self.sizes[-1]
            self.durable[size:] = b""
            self.durable.extend(bytes(size - len(self.durable)))
        self.pending.clear()
        self.sizes.clear()

    def drawn(self, numbers: random.Random) -> bytearray:
        """One content that the disk may hold."""
        image = bytearray(self.durable)
        share = numbers.choice([0.0, 0.1, 0.5, 0.9, 1.0])
        pieces = [
            (offset + at, data[at : at + SECTOR]) for offset, data in self.pending for at in range(0, len(data), SECTOR)
        ]
        if numbers.random() < 0.5:
            numbers.shuffle(pieces)
        end = max((offset + len(data) for offset, data in self.pending), default=0)
        for offset, data in pieces:
            if numbers.random() < share:
                _put(image, offset, data)
        if end > len(image) and numbers.random() < 0.5:
            image.extend(bytes(end - len(image)))  # the size got there before the content
        return image


def _put(image: bytearray, offset: int, data: bytes) -> None:
    if offset > len(image):
        image.extend(bytes(offset - len(image)))
    image[offset : offset + len(data)] = data


class Disk:
    """A disk that is told record by record what happens to it."""

    def __init__(self) -> None:
        self._files: dict[File, _Content] = {}
        self._named: dict[str, File] = {}  # as the system sees it
        self._durable_names: dict[str, File] = {}
        self._by_file: dict[File, str] = {}
        self.marks: list[bytes] = []

    def apply(self, record: Record, names: dict[File, str]) -> None:
        """`names` says under which name a file was first seen."""
        content = self._files.setdefault(record.file, _Content()) if record.file != (0, 0) else None
        if content is not None and record.file not in self._by_file:
            self._by_file[record.file] = names[record.file]
            self._named[names[record.file]] = record.file
        match record.kind:
            case "W":
                assert content is not None
                content.write(record.offset, record.data)
            case "Y":
                assert content is not None
                _put(content.durable, record.offset, record.data)
                # Older writes to the same place can no longer win over it.
                end = record.offset + len(record.data)
                content.pending = [
                    (offset, data)
                    for offset, data in content.pending
                    if offset >= end or offset + len(data) <= record.offset
                ]
            case "S":
                assert content is not None
                content.sync()
            case "T":
                assert content is not None
                content.sizes.append(record.offset)
            case "R":
                old, new = record.data.decode().split("\0")
                self._named[new] = self._named.pop(old)
            case "U":
                self._named.pop(record.data.decode(), None)
            case "D":
                self._durable_names = dict(self._named)
            case "M":
                self.marks.append(record.data)

    def drawn(self, name: str, numbers: random.Random) -> bytes | None:
        """What may be found under a name after the power goes now; None if there may be nothing."""
        names = numbers.choice([self._named, self._durable_names])
        file = names.get(name)
        return bytes(self._files[file].drawn(numbers)) if file is not None else None


# -- a whole history

Image = tuple[bytes | None, list[int], bool]
"""What may be found of a database, the last number that each thread was told was durable, and whether it was open."""


def acknowledged_in(marks: list[bytes], threads: int) -> list[int]:
    numbers = [0] * threads
    for mark in marks:
        if mark[:1].isdigit():
            thread, number = map(int, mark.split())
            numbers[thread] = number
    return numbers


def first_names(history: list[Record], path: Path) -> dict[tuple[int, int], str]:
    """A database is made under a name of its own; whatever file is written first has that one."""
    names: dict[tuple[int, int], str] = {}
    for record in history:
        if record.file != (0, 0):
            names.setdefault(record.file, f"{path}-new" if not names else str(path))
    return names


def images(history: list[Record], path: Path, threads: int, numbers: random.Random, count: int) -> list[Image]:
    """Contents that the disk may hold at moments drawn from the history, with what was acknowledged by then."""
    names = first_names(history, path)
    moments = sorted(numbers.choices(range(len(history) + 1), k=count))
    disk, done = Disk(), 0
    drawn: list[Image] = []
    for moment in moments:
        for record in history[done:moment]:
            disk.apply(record, names)
        done = moment
        drawn.append((disk.drawn(str(path), numbers), acknowledged_in(disk.marks, threads), b"open" in disk.marks))
    return drawn
