"""Packing and unpacking tuples, generally and with generated code, against fdb.tuple.

One operation is one key: the values of a row, held in variables, to bytes behind the prefix of an index, or the bytes
back to a tuple. Every row of a shape has values of its own, so that numbers of all lengths take part. Times are
processor time.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fdb.tuple

from bench.harness import CPU, Case, Report, Settings, compare, statement
from recordlayer.tuples import pack, unpack
from recordlayer.tuples.compiled import Column, Kind, compile_packer, compile_unpacker

PREFIX = pack(("app", 7, 2, "order_by_customer"))
ROWS = 100

# Upper bounds of ours / fdb.tuple. Generated packing is what indexes use, and the promise: three times as fast. Nested
# columns are left to the general code, also by what is generated.
PACK, PACK_GENERATED = 1 / 2, 1 / 3
UNPACK, UNPACK_GENERATED = 4 / 5, 2 / 3


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of key: its columns, and how a row of them is made."""

    name: str
    kinds: tuple[Kind, ...]
    row: Callable[[random.Random], tuple[Any, ...]]


def _name(chance: random.Random) -> str:
    return "".join(chance.choices("abcdefghijklmnopqrstuvwxyzäö ", k=chance.randint(3, 20)))


def _number(chance: random.Random) -> int:
    return chance.getrandbits(chance.randint(1, 40))


SHAPES = (
    Shape("entry (str, int, int)", (Kind.STR, Kind.INT, Kind.INT), lambda c: (_name(c), _number(c), _number(c))),
    Shape(
        "mixed (str, int, float, bool, bytes, uuid)",
        (Kind.STR, Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.BYTES, Kind.UUID),
        lambda c: (
            _name(c),
            _number(c),
            c.uniform(-100, 100),
            c.random() < 0.5,
            c.randbytes(8).replace(b"\0", b"0"),
            uuid.UUID(int=c.getrandbits(128)),
        ),
    ),
    Shape("ids (int, int)", (Kind.INT, Kind.INT), lambda c: (c.randint(0, 300), c.randint(-(2**40), 2**40))),
    Shape(
        "nulls (str, str or null, int or null)",
        (Kind.STR, Kind.STR, Kind.INT),
        lambda c: (_name(c), c.choice([None, _name(c)]), c.choice([None, _number(c)])),
    ),
    Shape(
        "nested (str, (int, str), int)",
        (Kind.STR, Kind.ANY, Kind.INT),
        lambda c: (_name(c), (_number(c), _name(c)), _number(c)),
    ),
)


def run(settings: Settings) -> Report:
    """Every shape, packed and unpacked."""
    cases = tuple(case for shape in SHAPES for case in _cases(shape, settings))
    return Report(bench="tuples", cases=cases)


def _cases(shape: Shape, settings: Settings) -> Iterator[Case]:
    chance = random.Random(1)  # the same rows in every run
    rows = [shape.row(chance) for _ in range(ROWS)]
    columns = [Column(kind) for kind in shape.kinds]
    keys = [pack(row, PREFIX) for row in rows]
    names = {
        "rows": rows,
        "keys": keys,
        "prefix": PREFIX,
        "skipped": len(PREFIX),
        "pack": pack,
        "unpack": unpack,
        "generated_pack": compile_packer(columns, PREFIX),
        "generated_unpack": compile_unpacker(columns, len(PREFIX)),
        "peer_pack": fdb.tuple.pack,
        "peer_unpack": fdb.tuple.unpack,
    }
    assert keys == [fdb.tuple.pack(row, PREFIX) for row in rows] == [names["generated_pack"](*row) for row in rows]
    assert rows == [fdb.tuple.unpack(key, len(PREFIX)) for key in keys] == [names["generated_unpack"](k) for k in keys]
    values = ", ".join(f"v{index}" for index in range(len(columns)))
    packing = f"for {values} in rows: {{}}"
    peer_packing = packing.format(f"peer_pack(({values}), prefix)")
    peer_unpacking = "for key in keys: peer_unpack(key, skipped)"
    known = Kind.ANY not in shape.kinds
    for what, ours, peer, target in (
        ("pack", packing.format(f"pack(({values}), prefix)"), peer_packing, PACK),
        (
            "pack generated",
            packing.format(f"generated_pack({values})"),
            peer_packing,
            PACK_GENERATED if known else PACK,
        ),
        ("unpack", "for key in keys: unpack(key, skipped)", peer_unpacking, UNPACK),
        (
            "unpack generated",
            "for key in keys: generated_unpack(key)",
            peer_unpacking,
            UNPACK_GENERATED if known else UNPACK,
        ),
    ):
        times = 3 if settings.quick else 10
        yield compare(
            f"{what}: {shape.name}",
            ours=statement(ours, names, operations=ROWS, times=times),
            peers={"fdb.tuple": statement(peer, names, operations=ROWS, times=times)},
            settings=settings,
            target={"fdb.tuple": target},
            timer=CPU,
        )
