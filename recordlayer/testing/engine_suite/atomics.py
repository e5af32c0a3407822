"""Atomic operations: what each makes of a stored value, alone, in a row, and over writes of the same transaction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recordlayer.kv.engine import VALUE_LIMIT, MutationType, Transaction
from recordlayer.testing.engine_suite.harness import Harness, each, examples

M = MutationType

# operation, stored value (None: absent), operand, value afterwards (None: absent)
Row = tuple[MutationType, bytes | None, bytes, bytes | None]

TABLE: tuple[Row, ...] = (
    (M.ADD, None, b"\x05", b"\x05"),
    (M.ADD, b"", b"\x05\x01", b"\x05\x01"),
    (M.ADD, b"\x01", b"\x02", b"\x03"),
    (M.ADD, b"\xff", b"\x01", b"\x00"),
    (M.ADD, b"\xff\x00", b"\x01\x00", b"\x00\x01"),
    (M.ADD, b"\xff", b"\x01\x00", b"\x00\x01"),
    (M.ADD, b"\x01\x02\x03\x04", b"\x01\x01", b"\x02\x03"),
    (M.ADD, b"\x05" + bytes(7), b"\xff" * 8, b"\x04" + bytes(7)),
    (M.ADD, b"\x01", b"", b""),
    (M.ADD, None, b"", b""),
    (M.BIT_AND, None, b"\x0f", b"\x0f"),
    (M.BIT_AND, b"", b"\xff\xff", b"\x00\x00"),
    (M.BIT_AND, b"\x0f", b"\x3c", b"\x0c"),
    (M.BIT_AND, b"\xff", b"\xff\xff", b"\xff\x00"),
    (M.BIT_AND, b"\xff\xff\xff", b"\x0f", b"\x0f"),
    (M.BIT_AND, b"\x0f", b"", b""),
    (M.BIT_OR, None, b"\x0f", b"\x0f"),
    (M.BIT_OR, b"", b"\x0f", b"\x0f"),
    (M.BIT_OR, b"\x0f", b"\x30", b"\x3f"),
    (M.BIT_OR, b"\x0f", b"\x30\x01", b"\x3f\x01"),
    (M.BIT_OR, b"\x0f\xff", b"\x30", b"\x3f"),
    (M.BIT_OR, b"\x0f", b"", b""),
    (M.BIT_XOR, None, b"\x0f", b"\x0f"),
    (M.BIT_XOR, b"", b"\x0f", b"\x0f"),
    (M.BIT_XOR, b"\x0f", b"\x3c", b"\x33"),
    (M.BIT_XOR, b"\x0f", b"\x3c\x01", b"\x33\x01"),
    (M.BIT_XOR, b"\x0f\xff", b"\x0f", b"\x00"),
    (M.BIT_XOR, b"\x0f", b"", b""),
    (M.APPEND_IF_FITS, None, b"x", b"x"),
    (M.APPEND_IF_FITS, b"", b"x", b"x"),
    (M.APPEND_IF_FITS, b"a", b"b", b"ab"),
    (M.APPEND_IF_FITS, b"a", b"", b"a"),
    (M.APPEND_IF_FITS, None, b"", b""),
    (M.APPEND_IF_FITS, b"a" * (VALUE_LIMIT - 1), b"b", b"a" * (VALUE_LIMIT - 1) + b"b"),
    (M.APPEND_IF_FITS, b"a" * (VALUE_LIMIT - 1), b"bc", b"a" * (VALUE_LIMIT - 1)),
    (M.MAX, None, b"\x05", b"\x05"),
    (M.MAX, b"", b"\x00", b"\x00"),
    (M.MAX, b"\x05", b"\x07", b"\x07"),
    (M.MAX, b"\x07", b"\x05", b"\x07"),
    (M.MAX, b"\x07\x00", b"\x05\x01", b"\x05\x01"),
    (M.MAX, b"\x07", b"\x05\x00\x00", b"\x07\x00\x00"),
    (M.MAX, b"\x07", b"\x05\x01", b"\x05\x01"),
    (M.MAX, b"\x01\xff", b"\x05", b"\x05"),
    (M.MAX, b"\x09\xff", b"\x05", b"\x09"),
    (M.MAX, b"\x07", b"", b""),
    (M.MIN, None, b"\x05", b"\x05"),
    (M.MIN, b"", b"\x05\x05", b"\x00\x00"),
    (M.MIN, b"\x05", b"\x07", b"\x05"),
    (M.MIN, b"\x07", b"\x05", b"\x05"),
    (M.MIN, b"\x07\x00", b"\x05\x01", b"\x07\x00"),
    (M.MIN, b"\x07", b"\x05\x01", b"\x07\x00"),
    (M.MIN, b"\x07", b"\x05\x00", b"\x05\x00"),
    (M.MIN, b"\x01\xff", b"\x05", b"\x01"),
    (M.MIN, b"\x09\xff", b"\x05", b"\x05"),
    (M.MIN, b"\x07", b"", b""),
    (M.BYTE_MIN, None, b"b", b"b"),
    (M.BYTE_MIN, None, b"", b""),
    (M.BYTE_MIN, b"", b"b", b""),
    (M.BYTE_MIN, b"a", b"b", b"a"),
    (M.BYTE_MIN, b"b", b"a", b"a"),
    (M.BYTE_MIN, b"ab", b"a", b"a"),
    (M.BYTE_MIN, b"a", b"ab", b"a"),
    (M.BYTE_MIN, b"\x00\xff", b"\x01", b"\x00\xff"),
    (M.BYTE_MIN, b"b", b"", b""),
    (M.BYTE_MAX, None, b"b", b"b"),
    (M.BYTE_MAX, None, b"", b""),
    (M.BYTE_MAX, b"", b"b", b"b"),
    (M.BYTE_MAX, b"a", b"b", b"b"),
    (M.BYTE_MAX, b"b", b"a", b"b"),
    (M.BYTE_MAX, b"ab", b"a", b"ab"),
    (M.BYTE_MAX, b"a", b"ab", b"ab"),
    (M.BYTE_MAX, b"\x00\xff", b"\x01", b"\x01"),
    (M.BYTE_MAX, b"b", b"", b"b"),
    (M.COMPARE_AND_CLEAR, None, b"a", None),
    (M.COMPARE_AND_CLEAR, None, b"", None),
    (M.COMPARE_AND_CLEAR, b"", b"", None),
    (M.COMPARE_AND_CLEAR, b"a", b"a", None),
    (M.COMPARE_AND_CLEAR, b"a", b"b", b"a"),
    (M.COMPARE_AND_CLEAR, b"a", b"", b"a"),
    (M.COMPARE_AND_CLEAR, b"a", b"ab", b"a"),
)

KINDS: dict[str, object] = {kind.name.lower(): kind for kind in dict.fromkeys(row[0] for row in TABLE)}


def _rows_of(kind: MutationType) -> list[Row]:
    return [row for row in TABLE if row[0] is kind]


def _write(tr: Transaction, key: bytes, value: bytes | None) -> None:
    if value is None:
        tr.clear(key)
    else:
        tr.set(key, value)


values = st.binary(max_size=4) | st.sampled_from([b"", b"\xff" * 9, b"\x00" * 3, b"\x01" + b"\x00" * 7])
steps = st.lists(
    st.tuples(st.sampled_from(["set", "clear", "clear_range", "read", *KINDS]), values), min_size=1, max_size=6
)


class Atomics(Harness):
    @each("kind", KINDS)
    def test_over_a_stored_value(self, kind: MutationType) -> None:
        rows = _rows_of(kind)
        self.put({b"%d" % at: stored for at, (_, stored, _, _) in enumerate(rows) if stored is not None})

        def operate(tr: Transaction) -> None:
            for at, (_, _, operand, _) in enumerate(rows):
                tr.atomic(kind, self.key(b"%d" % at), operand)

        self.commit(operate)
        found = self.stored()
        assert [found.get(b"%d" % at) for at in range(len(rows))] == [row[3] for row in rows]

    @each("kind", KINDS)
    def test_read_back_before_the_commit(self, kind: MutationType) -> None:
        rows = _rows_of(kind)
        self.put({b"%d" % at: stored for at, (_, stored, _, _) in enumerate(rows) if stored is not None})
        tr = self.begin()
        for at, (_, _, operand, _) in enumerate(rows):
            tr.atomic(kind, self.key(b"%d" % at), operand)
        assert [self.do(tr.get(self.key(b"%d" % at))) for at in range(len(rows))] == [row[3] for row in rows]
        assert dict(self.rows(tr)) == {b"%d" % at: row[3] for at, row in enumerate(rows) if row[3] is not None}

    @each("kind", KINDS)
    def test_over_a_write_of_the_same_transaction(self, kind: MutationType) -> None:
        rows = _rows_of(kind)
        self.put({b"%d" % at: b"before" for at in range(len(rows))})
        tr = self.begin()
        for at, (_, stored, operand, _) in enumerate(rows):
            _write(tr, self.key(b"%d" % at), stored)
            tr.atomic(kind, self.key(b"%d" % at), operand)
        expected = {b"%d" % at: row[3] for at, row in enumerate(rows) if row[3] is not None}
        assert dict(self.rows(tr)) == expected
        self.do(tr.commit())
        assert self.stored() == expected

    @each("kind", KINDS)
    def test_over_a_cleared_range(self, kind: MutationType) -> None:
        rows = [row for row in _rows_of(kind) if row[1] is None]
        self.put({b"%d" % at: b"before" for at in range(len(rows))})
        tr = self.begin()
        tr.clear_range(self.prefix, self.behind)
        for at, (_, _, operand, _) in enumerate(rows):
            tr.atomic(kind, self.key(b"%d" % at), operand)
        expected = {b"%d" % at: row[3] for at, row in enumerate(rows) if row[3] is not None}
        assert dict(self.rows(tr)) == expected
        self.do(tr.commit())
        assert self.stored() == expected

    def test_additions_of_many_transactions_add_up_without_conflicts(self) -> None:
        open_at_once = [self.begun() for _ in range(10)]
        for tr in open_at_once:
            tr.atomic(M.ADD, self.key(b"counter"), (3).to_bytes(8, "little"))
        for tr in open_at_once:
            self.do(tr.commit())
        assert self.value(b"counter") == (30).to_bytes(8, "little")

    def test_unequal_operands_in_a_row_are_applied_one_after_the_other(self) -> None:
        tr = self.begin()
        self.put(a=b"\xff\xff\xff")
        for operand in (b"\x01", b"\x01\x00", b"\x01\x00\x00"):
            tr.atomic(M.ADD, self.key(b"a"), operand)
        self.do(tr.commit())
        # ff + 01 = 00 in one byte; + 0001 = 0001; + 000001 = 000002, little endian
        assert self.value(b"a") == b"\x02\x00\x00"

    def test_an_unknown_operation_is_refused(self) -> None:
        with self.refusing(2018):
            self.begin().atomic(99, self.key(b"a"), b"")  # type: ignore[arg-type]

    def test_plain_writes_are_no_atomic_operations(self) -> None:
        for number in (0, 1):
            with self.refusing(2018):
                self.begin().atomic(number, self.key(b"a"), b"")  # type: ignore[arg-type]

    @examples(60)
    @given(stored=st.none() | values, program=steps)
    def test_what_a_transaction_shows_is_what_it_commits(
        self, stored: bytes | None, program: list[tuple[str, bytes]]
    ) -> None:
        key = self.key(b"a")
        self.commit(lambda tr: _write(tr, key, stored))
        tr = self.begin()
        for step, operand in program:
            if step == "set":
                tr.set(key, operand)
            elif step == "clear":
                tr.clear(key)
            elif step == "clear_range":
                tr.clear_range(key, key + b"\xff")
            elif step == "read":
                self.do(tr.get(key))
            else:
                tr.atomic(MutationType[step.upper()], key, operand)
        shown = self.do(tr.get(key))
        assert self.rows(tr) == ([] if shown is None else [(b"a", shown)])
        self.do(tr.commit())
        assert self.value(b"a") == shown
