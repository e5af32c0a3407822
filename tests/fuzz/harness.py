"""What a fuzz target is, its corpus, and how inputs are mutated where no fuzzer is at hand.

A target takes any bytes. It comes back, or raises one of the errors that it may refuse with; anything else that is
raised is a finding, and so are a hang and memory that grows without bound. What it reads it also writes again, and
compares: see each target. `python -m tests.fuzz` has them fuzzed by atheris, `test_targets.py` replays the corpus.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
LONGEST = 8_192
"""Bytes of an input."""

_LONGEST_TEXT = 20_000
"""Characters of an error: inputs are shown cut or whole, but no error multiplies them."""

_NUMBERS = (0, 1, 2, 0x14, 0x15, 0x7F, 0x80, 0xFE, 0xFF)


@dataclass(frozen=True)
class Target:
    """One target.

    name      of its module, and of its file in the corpus
    check     works on an input; raises `refusals`, or AssertionError where what it wrote is not what it read
    refusals  the errors that it promises for bytes that are none
    seeds     inputs that it takes, made by the library itself
    hints     inputs that it may refuse: where fuzzing begins too
    change    makes another input of one that keeps its form, where random changes would mostly break it
    """

    name: str
    check: Callable[[bytes], None]
    refusals: tuple[type[Exception], ...]
    seeds: Callable[[], Iterable[bytes]] = field(default=tuple)
    hints: Callable[[], Iterable[bytes]] = field(default=tuple)
    change: Callable[[bytes, random.Random], bytes] | None = None

    def run(self, data: bytes) -> bool:
        """Whether an input was taken; False: it was refused. Raises what is a finding."""
        try:
            self.check(data[:LONGEST])
        except self.refusals as refusal:
            if len(str(refusal)) > _LONGEST_TEXT:
                raise AssertionError(f"an error of {len(str(refusal)):,} characters") from refusal
            return False
        return True

    @cached_property
    def corpus(self) -> list[bytes]:
        """The inputs that are kept: findings of before, and what reaches most of the code."""
        return list(kept(CORPUS / f"{self.name}.txt"))

    def inputs(self) -> list[bytes]:
        """The corpus, the seeds and the hints."""
        return [*self.corpus, *self.seeds(), *self.hints()]


def kept(file: Path) -> Iterator[bytes]:
    """The inputs in a file: one a line, in hexadecimal; "-" is the empty one, and what follows a "#" says why."""
    if not file.exists():
        return
    for line in file.read_text(encoding="ascii").splitlines():
        word = line.partition("#")[0].strip()
        if word:
            yield b"" if word == "-" else bytes.fromhex(word)


def mutations(target: Target, count: int, seed: int) -> Iterator[bytes]:
    """So many inputs, each one of the target's with a few changes; the same for the same seed."""
    chance, inputs = random.Random(seed), target.inputs()
    for _ in range(count):
        if target.change is not None and inputs and chance.random() < 0.7:
            yield target.change(chance.choice(inputs), chance)[:LONGEST]
            continue
        made = bytearray(chance.choice(inputs) if inputs else b"")
        for _ in range(chance.choice((1, 1, 2, 4, 8))):
            _mutate(made, inputs, chance)
        yield bytes(made[:LONGEST])


def _mutate(made: bytearray, inputs: list[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(made) + 1)
    match chance.randrange(7):
        case 0 if made:
            made[at - 1] ^= 1 << chance.randrange(8)
        case 1 if made:
            made[at - 1] = chance.choice(_NUMBERS)
        case 2:
            made[at:at] = chance.randbytes(chance.choice((1, 1, 2, 4, 9)))
        case 3:
            del made[at : at + chance.choice((1, 1, 2, 4, 16))]
        case 4:
            del made[at:]
        case 5:
            made[at:at] = made[at : at + chance.randrange(1, 40)]
        case _:
            other = chance.choice(inputs) if inputs else b""
            made[at:] = other[chance.randrange(len(other) + 1) :]
