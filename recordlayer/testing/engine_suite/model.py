"""Random transactions against a dict."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.kv.engine import KeySelector, MutationType, Transaction
from recordlayer.testing.engine_suite.harness import Harness, examples
from recordlayer.testing.engine_suite.selectors import place

NAMES = tuple(b"%c%c" % (first, second) for first in b"abc" for second in b"mxz")
names = st.sampled_from(NAMES)
values = st.binary(max_size=3)
pairs = st.tuples(names, names).map(sorted)

plain = (
    st.tuples(st.just("set"), names, values),
    st.tuples(st.just("clear"), names),
    st.tuples(st.just("clear_range"), pairs),
    st.tuples(st.just("append"), names, values),
    st.tuples(st.just("byte_max"), names, values),
    st.tuples(st.just("get"), names, st.booleans()),
    st.tuples(st.just("range"), pairs, st.integers(0, 5), st.booleans(), st.booleans()),
)
selecting = (
    st.tuples(st.just("key"), names, st.booleans(), st.integers(-2, 3)),
    st.tuples(st.just("selected"), pairs, st.integers(-1, 2), st.integers(0, 2), st.booleans()),
)
comparing = (st.tuples(st.just("compare_and_clear"), names, values),)


def programs(length: int) -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Steps of one transaction. What selectors make of an uncommitted compare-and-clear is left open (`selectors.py`),
    so no program has both."""
    return st.one_of(
        st.lists(st.one_of(*plain, *selecting), max_size=length),
        st.lists(st.one_of(*plain, *comparing), max_size=length),
    )


class Model(Harness):
    @examples(80)
    @given(
        stored=st.dictionaries(names, values),
        work=st.lists(programs(12), min_size=1, max_size=3),
    )
    def test_transactions_one_after_the_other_do_what_a_dict_does(
        self, stored: dict[bytes, bytes], work: list[list[tuple[Any, ...]]]
    ) -> None:
        self.commit(lambda tr: tr.clear_range(self.prefix, self.behind))
        self.put(stored)
        model = dict(stored)
        for program in work:
            tr = self.begin()
            for name, *arguments in program:
                getattr(self, f"do_{name}")(tr, model, *arguments)
            self.do(tr.commit())
            assert self.stored() == model

    @examples(60)
    @given(
        stored=st.dictionaries(names, values),
        first=programs(6),
        second=programs(6),
    )
    def test_of_two_interleaved_transactions_both_commit_only_if_their_order_does_not_show(
        self, stored: dict[bytes, bytes], first: list[tuple[Any, ...]], second: list[tuple[Any, ...]]
    ) -> None:
        self.commit(lambda tr: tr.clear_range(self.prefix, self.behind))
        self.put(stored)
        models = dict(stored), dict(stored)
        transactions = self.begun(), self.begun()
        for tr, model, program in zip(transactions, models, (first, second), strict=True):
            for name, *arguments in program:
                getattr(self, f"do_{name}")(tr, model, *arguments)
        self.do(transactions[0].commit())
        transactions[1].set(self.key(b"~"), b"")
        if not self.fails_with(1020, transactions[1].commit()):
            # Both saw the stored state. If the second did not conflict, running it after the first, and checking every
            # answer against that state, must show the same answers: `do_...` asserted them on `models[1]`.
            replay = dict(models[0])
            self._replay(replay, models[1], stored, second)
            replay[b"~"] = b""
            assert self.stored() == replay
        else:
            assert self.stored() == models[0]

    def _replay(
        self,
        model: dict[bytes, bytes],
        alone: dict[bytes, bytes],
        stored: dict[bytes, bytes],
        program: list[tuple[Any, ...]],
    ) -> None:
        """Apply the program to `model`; its answers must be those that it got from `stored`."""
        before = dict(stored)
        for name, *arguments in program:
            if name in ("get", "range", "key", "selected"):
                if name in ("get", "range") and arguments[-1]:
                    continue  # a snapshot read: it may have seen what the first transaction changed
                seen, later = answer(before, name, arguments), answer(model, name, arguments)
                # A selector that leads out of the model was not tried; two that do may have nothing between them still.
                if name == "get" or (seen is not None and not (name == "selected" and later is None)):
                    assert later == seen
            else:
                change(model, name, arguments)
                change(before, name, arguments)
        assert before == alone

    # -- one step on a transaction and on the model

    def do_set(self, tr: Transaction, model: dict[bytes, bytes], name: bytes, value: bytes) -> None:
        tr.set(self.key(name), value)
        change(model, "set", [name, value])

    def do_clear(self, tr: Transaction, model: dict[bytes, bytes], name: bytes) -> None:
        tr.clear(self.key(name))
        change(model, "clear", [name])

    def do_clear_range(self, tr: Transaction, model: dict[bytes, bytes], bounds: list[bytes]) -> None:
        tr.clear_range(self.key(bounds[0]), self.key(bounds[1]))
        change(model, "clear_range", [bounds])

    def do_append(self, tr: Transaction, model: dict[bytes, bytes], name: bytes, value: bytes) -> None:
        tr.atomic(MutationType.APPEND_IF_FITS, self.key(name), value)
        change(model, "append", [name, value])

    def do_byte_max(self, tr: Transaction, model: dict[bytes, bytes], name: bytes, value: bytes) -> None:
        tr.atomic(MutationType.BYTE_MAX, self.key(name), value)
        change(model, "byte_max", [name, value])

    def do_compare_and_clear(self, tr: Transaction, model: dict[bytes, bytes], name: bytes, value: bytes) -> None:
        tr.atomic(MutationType.COMPARE_AND_CLEAR, self.key(name), value)
        change(model, "compare_and_clear", [name, value])

    def do_get(self, tr: Transaction, model: dict[bytes, bytes], name: bytes, snapshot: bool) -> None:
        assert self.do(tr.get(self.key(name), snapshot=snapshot)) == answer(model, "get", [name, snapshot])

    def do_range(
        self,
        tr: Transaction,
        model: dict[bytes, bytes],
        bounds: list[bytes],
        limit: int,
        reverse: bool,
        snapshot: bool,
    ) -> None:
        found = self.rows(tr, self.key(bounds[0]), self.key(bounds[1]), limit=limit, reverse=reverse, snapshot=snapshot)
        assert found == answer(model, "range", [bounds, limit, reverse, snapshot])

    def do_key(self, tr: Transaction, model: dict[bytes, bytes], name: bytes, or_equal: bool, offset: int) -> None:
        expected = answer(model, "key", [name, or_equal, offset])
        if expected is not None:
            found = self.do(tr.get_key(KeySelector(self.key(name), or_equal, offset)))
            assert found == self.key(expected)

    def do_selected(
        self,
        tr: Transaction,
        model: dict[bytes, bytes],
        bounds: list[bytes],
        low_offset: int,
        high_offset: int,
        reverse: bool,
    ) -> None:
        expected = answer(model, "selected", [bounds, low_offset, high_offset, reverse])
        if expected is not None:
            low = KeySelector(self.key(bounds[0]), True, low_offset)
            high = KeySelector(self.key(bounds[1]), False, high_offset)
            assert self.names(tr, low, high, reverse=reverse) == expected


def change(model: dict[bytes, bytes], name: str, arguments: list[Any]) -> None:
    """What a write does to a dict."""
    if name == "clear_range":
        low, high = arguments[0]
        for key in [key for key in model if low <= key < high]:
            del model[key]
        return
    key, *rest = arguments
    match name:
        case "set":
            model[key] = rest[0]
        case "clear":
            model.pop(key, None)
        case "append":
            model[key] = model.get(key, b"") + rest[0]
        case "byte_max":
            model[key] = max(model.get(key, rest[0]), rest[0])
        case "compare_and_clear":
            if model.get(key) == rest[0]:
                del model[key]


def answer(model: dict[bytes, bytes], name: str, arguments: list[Any]) -> Any:
    """What a read gives on a dict; None where a selector leads out of it."""
    keys = sorted(model)
    match name:
        case "get":
            return model.get(arguments[0])
        case "range":
            (low, high), limit, reverse, _ = arguments
            rows = [(key, model[key]) for key in keys if low <= key < high]
            return (rows[::-1] if reverse else rows)[: limit or None]
        case "key":
            at = place(keys, KeySelector(*arguments))
            return keys[at] if 0 <= at < len(keys) else None
        case "selected":
            (low, high), low_offset, high_offset, reverse = arguments
            first = place(keys, KeySelector(low, True, low_offset))
            last = place(keys, KeySelector(high, False, high_offset))
            if not (0 <= first < len(keys) and 0 <= last < len(keys)):
                return None
            inside = keys[first : max(first, last)]
            return inside[::-1] if reverse else inside
