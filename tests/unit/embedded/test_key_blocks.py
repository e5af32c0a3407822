"""Keys in order as far as asked for, against a dict of what was written when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recordlayer.kv.embedded import key_blocks
from recordlayer.kv.embedded.key_blocks import KeyBlocks

KEY = st.integers(0, 60).map(lambda number: b"%02d" % number)
STEP = st.one_of(
    st.tuples(st.just("note"), st.lists(KEY, min_size=1, max_size=8, unique=True)),
    st.tuples(st.just("prune"), st.integers(1, 12)),
    st.tuples(st.just("ask"), KEY, KEY, st.integers(0, 12)),
)


@contextmanager
def sizes(most: int, few: int, at_once: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_blocks, "MOST", most)
        patch.setattr(key_blocks, "_FEW", few)
        patch.setattr(key_blocks, "ORDERED_AT_ONCE", at_once)
        yield


@pytest.mark.parametrize("blocks_of", [(4, 2, 3), (512, 64, 2000)], ids=["small blocks", "large blocks"])
@given(steps=st.lists(STEP, max_size=60))
def test_all_keys_written_since_a_version_are_found_and_none_that_was_dropped(
    blocks_of: tuple[int, int, int], steps: list[tuple]
) -> None:
    with sizes(*blocks_of):
        run(steps)


def run(steps: list[tuple]) -> None:
    blocks = KeyBlocks()
    log: list[tuple[int, list[bytes]]] = []
    version = floor = 0
    for kind, *args in steps:
        if kind == "note":
            version += 1
            log.append((version, list(args[0])))
            blocks.note(version, tuple(args[0]))
        elif kind == "prune":  # as the window does it: commits from the oldest, their keys from the end
            for _ in range(args[0]):
                if not log:
                    break
                floor = log[0][0]
                blocks.forget_below(floor)
                if not log[0][1]:
                    log.pop(0)
                    continue
                key = log[0][1].pop()
                if not any(key in keys for _, keys in log):
                    blocks.drop(key)
        else:
            begin, end, since = args
            since = max(since, floor)
            found = set(blocks.newer(begin, end, since))
            kept = {key for _, keys in log for key in keys if begin <= key < end}
            written = {key for at, keys in log if at > since for key in keys if begin <= key < end}
            assert written <= found
            if begin < end:
                assert all(begin <= key < end for key in found)
            assert found <= kept
    for block, bound in zip(blocks.blocks, blocks._bounds, strict=True):
        assert block == sorted(set(block))
        assert not block or block[-1] <= bound
    assert blocks._bounds == sorted(blocks._bounds)
    assert {key for block in blocks.blocks for key in block} == set(blocks._ordered)
