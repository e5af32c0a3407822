"""The exact ranges that reads conflict on.

Each case reads among the keys 10, 20 ... 50 and says which of the probed keys, written by another transaction
meanwhile, make it fail. What a read could not have seen must not conflict: that is what makes queues and scans with a
limit scale.
"""

from __future__ import annotations

from collections.abc import Callable

from recordlayer.kv.engine import ConflictKind, KeySelector, MutationType, Transaction, TransactionOption
from recordlayer.testing.engine_suite.harness import Harness, each, setting, together

PROBES = (
    b"05",
    b"10",
    b"10\0",
    b"15",
    b"20",
    b"20\0",
    b"25",
    b"25\0",
    b"30",
    b"30\0",
    b"35",
    b"40",
    b"40\0",
    b"45",
    b"50",
)

Read = Callable[[Harness, Transaction], object]

at_or_after = KeySelector.first_greater_or_equal
after = KeySelector.first_greater_than
before = KeySelector.last_less_than
at_or_before = KeySelector.last_less_or_equal


def get(name: bytes) -> Read:
    return lambda suite, tr: suite.do(tr.get(suite.key(name)))


def get_key(selector: Callable[[bytes], KeySelector], name: bytes, places: int = 0) -> Read:
    return lambda suite, tr: suite.do(tr.get_key(selector(suite.key(name)) + places))


def scan(begin: bytes, end: bytes, *, limit: int = 0, reverse: bool = False, snapshot: bool = False) -> Read:
    return lambda suite, tr: suite.rows(
        tr, suite.key(begin), suite.key(end), limit=limit, reverse=reverse, snapshot=snapshot
    )


def scan_between(
    low: Callable[[bytes], KeySelector],
    begin: bytes,
    high: Callable[[bytes], KeySelector],
    end: bytes,
    *,
    low_places: int = 0,
    high_places: int = 0,
    limit: int = 0,
    reverse: bool = False,
) -> Read:
    return lambda suite, tr: suite.rows(
        tr, low(suite.key(begin)) + low_places, high(suite.key(end)) + high_places, limit=limit, reverse=reverse
    )


def set_key(name: bytes) -> Read:
    return lambda suite, tr: tr.set(suite.key(name), b"own")


def clear_range(begin: bytes, end: bytes) -> Read:
    return lambda suite, tr: tr.clear_range(suite.key(begin), suite.key(end))


def add(name: bytes) -> Read:
    return lambda suite, tr: tr.atomic(MutationType.ADD, suite.key(name), b"\x01")


def compare_and_clear(name: bytes, operand: bytes) -> Read:
    return lambda suite, tr: tr.atomic(MutationType.COMPARE_AND_CLEAR, suite.key(name), operand)


def option(name: TransactionOption) -> Read:
    return lambda suite, tr: tr.set_option(name)


def then(*steps: Read) -> Read:
    return lambda suite, tr: [step(suite, tr) for step in steps]


Case = tuple[Read, list[tuple[bytes, bytes]]]

CASES: dict[str, Case] = {
    "get of a key": (get(b"20"), [(b"20", b"20\0")]),
    "get of an absent key": (get(b"25"), [(b"25", b"25\0")]),
    "whole range": (scan(b"10", b"40"), [(b"10", b"40")]),
    "whole range in reverse": (scan(b"10", b"40", reverse=True), [(b"10", b"40")]),
    "range without keys": (scan(b"21", b"29"), [(b"21", b"29")]),
    "range up to its limit": (scan(b"10", b"40", limit=2), [(b"10", b"20\0")]),
    "range between keys up to its limit": (scan(b"12", b"40", limit=2), [(b"12", b"30\0")]),
    "range with just its limit of keys": (scan(b"10", b"40", limit=3), [(b"10", b"30\0")]),
    "range below its limit": (scan(b"10", b"40", limit=5), [(b"10", b"40")]),
    "reverse range down to its limit": (scan(b"10", b"40", limit=2, reverse=True), [(b"20", b"40")]),
    "reverse range between keys to its limit": (scan(b"10", b"45", limit=1, reverse=True), [(b"40", b"45")]),
    "reverse range below its limit": (scan(b"12", b"40", limit=9, reverse=True), [(b"12", b"40")]),
    "snapshot range": (scan(b"10", b"40", snapshot=True), []),
    "key at or after": (get_key(at_or_after, b"25"), [(b"25", b"30\0")]),
    "key at or after an existing one": (get_key(at_or_after, b"20"), [(b"20", b"20\0")]),
    "key after": (get_key(after, b"20"), [(b"20\0", b"30\0")]),
    "key before": (get_key(before, b"30"), [(b"20", b"30")]),
    "key at or before an existing one": (get_key(at_or_before, b"30"), [(b"30", b"30\0")]),
    "key at or before": (get_key(at_or_before, b"25"), [(b"20", b"25\0")]),
    "two keys further": (get_key(at_or_after, b"20", 2), [(b"20", b"40\0")]),
    "two keys back": (get_key(before, b"40", -1), [(b"20", b"40")]),
    "range from the key before": (scan_between(at_or_before, b"25", at_or_after, b"40"), [(b"20", b"40")]),
    "range from the second key": (
        scan_between(at_or_after, b"10", at_or_after, b"40", low_places=1),
        [(b"10", b"40")],
    ),
    "range to the key before": (scan_between(at_or_after, b"10", before, b"30"), [(b"10", b"30")]),
    "range to behind a key": (scan_between(at_or_after, b"10", after, b"30"), [(b"10", b"30\0")]),
    "range to a key further": (
        scan_between(at_or_after, b"10", at_or_after, b"30", high_places=1),
        [(b"10", b"30\0")],
    ),
    "range between selectors to its limit": (
        scan_between(at_or_before, b"15", after, b"40", limit=2),
        [(b"10", b"20\0")],
    ),
    "reverse range between selectors to its limit": (
        scan_between(at_or_before, b"15", after, b"40", limit=2, reverse=True),
        [(b"30", b"40\0")],
    ),
    "own set and range": (then(set_key(b"20"), scan(b"10", b"40")), [(b"10", b"20"), (b"20\0", b"40")]),
    "own set and get": (then(set_key(b"20"), get(b"20")), []),
    "get and own set": (then(get(b"20"), set_key(b"20")), [(b"20", b"20\0")]),
    "own clear and range": (then(clear_range(b"15", b"35"), scan(b"10", b"45")), [(b"10", b"15"), (b"35", b"45")]),
    "own clear and get": (then(clear_range(b"15", b"35"), get(b"20")), []),
    "own clear and key after": (
        then(clear_range(b"15", b"35"), get_key(after, b"10")),
        [(b"10\0", b"15"), (b"35", b"40\0")],
    ),
    "own atomic operation and get": (then(add(b"20"), get(b"20")), [(b"20", b"20\0")]),
    "own atomic operation over own set": (then(set_key(b"20"), add(b"20"), get(b"20")), []),
    "own atomic operation over own clear": (then(clear_range(b"15", b"25"), add(b"20"), get(b"20")), []),
    "own set over own atomic operation": (then(add(b"20"), set_key(b"20"), get(b"20")), []),
    "own compare and clear and get": (then(compare_and_clear(b"20", b"v"), get(b"20")), [(b"20", b"20\0")]),
    "own writes that fill the limit": (
        then(set_key(b"12"), set_key(b"14"), scan(b"10\0", b"40", limit=2)),
        [(b"10\0", b"12"), (b"12\0", b"14")],
    ),
    "own set and get without read-your-writes": (
        then(option(TransactionOption.READ_YOUR_WRITES_DISABLE), set_key(b"20"), get(b"20")),
        [(b"20", b"20\0")],
    ),
    "range to its limit without read-your-writes": (
        then(option(TransactionOption.READ_YOUR_WRITES_DISABLE), scan(b"10", b"40", limit=2)),
        [(b"10", b"20\0")],
    ),
    "reverse range to its limit without read-your-writes": (
        then(option(TransactionOption.READ_YOUR_WRITES_DISABLE), scan(b"10", b"45", limit=2, reverse=True)),
        [(b"30", b"45")],
    ),
    "key before without read-your-writes": (
        then(option(TransactionOption.READ_YOUR_WRITES_DISABLE), get_key(before, b"30")),
        [(b"20", b"30")],
    ),
}


class ImpliedConflicts(Harness):
    @each("case", CASES)
    def test_a_read_conflicts_exactly_on_what_it_depends_on(self, case: Case) -> None:
        read, ranges = case
        conflicting = []
        for probe in PROBES:
            self.commit(lambda tr: tr.clear_range(self.prefix, self.behind))
            self.put(dict.fromkeys((b"10", b"20", b"30", b"40", b"50"), b"v"))
            if self.conflict(lambda tr: read(self, tr), setting(self.key(probe), b"new")):
                conflicting.append(probe)
        assert conflicting == [probe for probe in PROBES if any(low <= probe < high for low, high in ranges)]

    def test_an_explicit_read_conflict_on_a_key_written_before_it_is_dropped(self) -> None:
        key = self.key(b"a")
        read = lambda tr: tr.add_conflict_range(ConflictKind.READ, key, key + b"\0")  # noqa: E731
        assert not self.conflict(together(setting(key), read), setting(key))
        assert self.conflict(together(read, setting(key)), setting(key))

    def test_a_watch_reads_its_key(self) -> None:
        key = self.key(b"a")
        watches = []
        assert self.conflict(lambda tr: watches.append(tr.watch(key)), setting(key))
