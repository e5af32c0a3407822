"""Chains of replaced values in one bytes object, against a list of entries."""

from __future__ import annotations

import gc
import sys

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.kv.embedded.undo_chain import (
    CURRENT,
    after,
    appended,
    before_last,
    chain_of,
    first_after,
    length_of,
    loud_after,
    made_loud,
    newest_of,
    with_last,
)

OLD = st.one_of(st.none(), st.binary(max_size=20), st.binary(min_size=200, max_size=300))
STEP = st.tuples(st.sampled_from(["append", "replace", "loud", "after"]), st.integers(1, 1 << 40), OLD, st.booleans())


@given(OLD, st.booleans(), st.lists(STEP, max_size=30))
def test_a_chain_is_a_list_of_entries(old: bytes | None, loud: bool, steps: list[tuple]) -> None:
    version = 5
    chain = chain_of(version, old, loud=loud)
    model = [[version, old, loud]]
    for kind, gap, value, noisy in steps:
        if kind == "append":
            version += gap
            chain = appended(chain, version, value, loud=noisy)
            model.append([version, value, noisy])
        elif kind == "replace":
            version += gap
            chain = with_last(chain, version, value, loud=noisy)
            gone = model.pop()
            if model and gone[2]:
                model[-1][2] = True
            model.append([version, value, noisy])
        elif kind == "loud":
            chain = made_loud(chain)
            model[-1][2] = True
        elif len(model) > 1:
            floor = min(model[gap % (len(model) - 1)][0] + gap % 2, model[-1][0] - 1)
            kept = after(chain, floor)
            assert kept is not None
            chain, model = kept, [entry for entry in model if entry[0] > floor]
        assert newest_of(chain) == model[-1][0]
        assert before_last(chain) == (model[-2][0] if len(model) > 1 else 0)
        assert length_of(chain) == len(model)
        for asked in {0, *(entry[0] + off for entry in model for off in (-1, 0, 1))}:
            later = [entry for entry in model if entry[0] > asked]
            assert first_after(chain, asked) == (later[0][1] if later else CURRENT)
            assert loud_after(chain, asked) == any(entry[2] for entry in later)
    assert after(chain, model[-1][0]) is None
    assert after(chain, 0) == chain


def test_neither_a_chain_nor_a_dict_of_chains_is_the_garbage_collectors_business() -> None:
    chains = {b"%d" % number: chain_of(number, b"old", loud=True) for number in range(100)}
    if sys.version_info < (3, 14):  # from there on it looks at every dict, a part of them at a time
        assert not gc.is_tracked(chains)
    assert not any(map(gc.is_tracked, chains.values()))
    assert not gc.is_tracked(appended(chains[b"1"], 200, b"x", loud=True))
