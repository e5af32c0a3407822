"""Random programs over an engine: a few clients, interleaved transactions, every operation.

A program is a list of steps made from a seed alone. Running it on an engine gives a transcript: one line for each
step with its result or error, then the final data. Two engines with the same semantics give the same transcript.

What legitimately differs is named by order instead: versions and versionstamps become `v1`, `v2`, ... in the order in
which the program's commits happened. Keys live between sentinels, so that selectors that leave the program's keys find
the same neighbours on an engine shared with others.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from recordlayer.errors import RecordLayerError, TransactionError
from recordlayer.kv.engine import (
    KEY_LIMIT,
    VALUE_LIMIT,
    ConflictKind,
    Engine,
    KeySelector,
    MutationType,
    StreamingMode,
    Transaction,
    TransactionOption,
)
from recordlayer.waiting.drivers import run_blocking

CLIENTS = 3
_SENTINELS = 24  # on each side; more than any selector's offset
_ATOMIC = [
    MutationType.ADD,
    MutationType.BIT_AND,
    MutationType.BIT_OR,
    MutationType.BIT_XOR,
    MutationType.APPEND_IF_FITS,
    MutationType.MAX,
    MutationType.MIN,
    MutationType.BYTE_MIN,
    MutationType.BYTE_MAX,
]
_OPTIONS = [
    TransactionOption.NEXT_WRITE_NO_WRITE_CONFLICT_RANGE,
    TransactionOption.READ_YOUR_WRITES_DISABLE,
    TransactionOption.SNAPSHOT_RYW_DISABLE,
    TransactionOption.SNAPSHOT_RYW_ENABLE,
    TransactionOption.BYPASS_UNREADABLE,
    TransactionOption.REPORT_CONFLICTING_KEYS,
    TransactionOption.CAUSAL_READ_RISKY,
]
_WEIGHTS = {
    "get": 10,
    "get_key": 6,
    "get_range": 10,
    "set": 10,
    "clear": 4,
    "clear_range": 4,
    "atomic": 8,
    "stamped_value": 2,
    "stamped_key": 2,
    "conflict_range": 3,
    "option": 2,
    "commit": 9,
    "reset": 1,
    "cancel": 0.5,
    "read_version": 1,
    "set_read_version": 0.7,
    "exact_range": 2,
    "too_large": 0.1,
    "size_limit": 0.5,
    "retry_limit": 0.3,
    "versionstamp": 0.7,
}


@dataclass(frozen=True, slots=True)
class Step:
    client: int
    verb: str
    arguments: tuple[Any, ...]

    def __str__(self) -> str:
        return f"t{self.client}.{self.verb}{self.arguments!r}".replace("b" * 520, "b*520")


def make_program(seed: int, length: int = 60) -> list[Step]:
    """The program of a seed. Keys in it are relative: the runner puts its prefix before them."""
    chance = random.Random(seed)
    names = [b"", b"a", b"a\0", b"aa", b"ab", b"b", b"b" * 520, b"b" * 520 + b"\1", b"c", b"\xff", b"\xff\xff"]
    keys = chance.sample(names, chance.randint(3, len(names)))
    verbs, weights = list(_WEIGHTS), list(_WEIGHTS.values())
    # How FoundationDB's client resolves a selector across keys that COMPARE_AND_CLEAR cleared or that a versionstamp
    # makes unreadable depends on what it happens to have cached. So a program has either these or selectors.
    selectors = chance.random() < 0.6
    unused = {"stamped_key", "stamped_value"} if selectors else {"get_key"}
    # A stamped key makes the client forget this transaction's earlier writes among the keys that it may become; a read
    # that bypasses the unreadable then shows what is stored there. So a program has stamped keys or bypasses.
    bypasses = chance.random() < 0.5
    if bypasses:
        unused.add("stamped_key")
    options = [option for option in _OPTIONS if bypasses or option != TransactionOption.BYPASS_UNREADABLE]
    return [
        Step(chance.randrange(CLIENTS), verb, _arguments(verb, chance, keys, options, selectors=selectors))
        for verb in chance.choices(verbs, weights, k=length)
        if verb not in unused
    ]


def _arguments(
    verb: str, chance: random.Random, keys: list[bytes], options: list[TransactionOption], *, selectors: bool
) -> tuple[Any, ...]:
    def key() -> bytes:
        return chance.choice(keys)

    def key_range() -> tuple[bytes, bytes]:
        low, high = key(), key() + chance.choice([b"", b"\0"])
        return (low, high) if low <= high or chance.random() < 0.05 else (high, low)

    def value() -> bytes:
        return chance.randbytes(chance.choice([0, 1, 2, 4, 8, 9]))

    def selector(spread: int) -> KeySelector:
        return KeySelector(key(), chance.random() < 0.5, chance.randint(-spread, spread + 1))

    match verb:
        case "get":
            return key(), chance.random() < 0.3
        case "get_key":
            return selector(4), chance.random() < 0.3
        case "get_range":
            if not selectors or chance.random() < 0.6:
                begin, end = key_range()
                bounds = (KeySelector(begin, False, 1), KeySelector(end, False, 1))
            else:
                bounds = (selector(2), selector(2))
            limit = chance.choice([0, 0, 1, 2, 5])
            return (*bounds, limit, chance.random() < 0.4, chance.random() < 0.3)
        case "set":
            return key(), value()
        case "clear":
            return (key(),)
        case "clear_range":
            return key_range()
        case "atomic":
            # Arithmetic on a versionstamp gives what no transcript can name: the last key is left to the stamps.
            if chance.random() < 0.1:
                return MutationType.APPEND_IF_FITS, keys[-1], value()
            kinds = _ATOMIC if selectors else [*_ATOMIC, MutationType.COMPARE_AND_CLEAR]
            return chance.choice(kinds), chance.choice(keys[:-1]), value()
        case "stamped_value":
            body = value() + bytes(10) + value()
            at = body.index(bytes(10)) if chance.random() < 0.95 else len(body)
            return keys[-1], body + at.to_bytes(4, "little")
        case "stamped_key":
            return key(), value(), value()
        case "conflict_range":
            return (chance.choice(list(ConflictKind)), *key_range())
        case "option":
            return (chance.choice(options),)
        case "set_read_version":
            return (chance.randint(1, 4),)
        case "exact_range":
            return (*key_range(), chance.randint(1, 4), chance.random() < 0.4, chance.random() < 0.3)
        case "too_large":
            return chance.choice([(KEY_LIMIT + 1, 0), (KEY_LIMIT, 0), (0, VALUE_LIMIT + 1), (0, VALUE_LIMIT)])
        case "size_limit":
            return (chance.choice([32, 200, 500, 1_000]),)
        case "retry_limit":
            return (chance.randint(0, 2),)
    return ()


class Runner:
    """Runs a program on an engine below `prefix`, and writes the transcript."""

    def __init__(self, engine: Engine, prefix: bytes) -> None:
        self._engine = engine
        self._outer = prefix
        self._prefix = prefix + b"m"
        self._stamps: list[bytes] = []
        self._readers: list[Transaction] = []
        self._sets_versions = False
        self._pending: dict[int, list[Any]] = {client: [] for client in range(CLIENTS)}
        self.transcript: list[str] = []

    def run(self, program: list[Step]) -> list[str]:
        self._sets_versions = any(step.verb == "set_read_version" for step in program)
        self._prepare()
        clients = [self._engine.begin() for _ in range(CLIENTS)]
        try:
            for number, step in enumerate(program):
                self.transcript.append(f"{number:3} {step}  ->  {self._step(clients[step.client], step)}")
            for client, transaction in enumerate(clients):
                self.transcript.append(f"end t{client}.commit  ->  {self._commit(transaction, client)}")
        finally:
            for transaction in (*clients, *self._readers):
                transaction.close()
        self.transcript.append(f"data  {self._rows(self._everything())}")
        return self.transcript

    # -- one step

    def _step(self, transaction: Transaction, step: Step) -> str:
        try:
            return self._shown(self._perform(transaction, step))
        except TransactionError as error:
            return f"error {error.number}"
        except RecordLayerError as error:
            return f"error {error.code}"

    def _perform(self, t: Transaction, step: Step) -> Any:
        a = step.arguments
        match step.verb:
            case "get":
                return wait(t.get(self._prefix + a[0], snapshot=a[1]))
            case "get_key":
                return self._key(wait(t.get_key(self._selector(a[0]), snapshot=a[1])))
            case "get_range":
                return self._rows(self._read_range(t, self._selector(a[0]), self._selector(a[1]), *a[2:]))
            case "set":
                return t.set(self._prefix + a[0], a[1])
            case "clear":
                return t.clear(self._prefix + a[0])
            case "clear_range":
                return t.clear_range(self._prefix + a[0], self._prefix + a[1])
            case "atomic":
                return t.atomic(a[0], self._prefix + a[1], a[2])
            case "stamped_value":
                return t.atomic(MutationType.SET_VERSIONSTAMPED_VALUE, self._prefix + a[0], a[1])
            case "stamped_key":
                body = self._prefix + a[0] + bytes(10) + a[1]
                at = len(self._prefix + a[0]).to_bytes(4, "little")
                return t.atomic(MutationType.SET_VERSIONSTAMPED_KEY, body + at, a[2])
            case "conflict_range":
                return t.add_conflict_range(a[0], self._prefix + a[1], self._prefix + a[2])
            case "option":
                return t.set_option(a[0])
            case "exact_range":
                begin, end = (KeySelector(self._prefix + key, False, 1) for key in a[:2])
                limit, reverse, snapshot = a[2:]
                mode = StreamingMode.EXACT  # one chunk with all of it
                chunk = wait(t.get_range(begin, end, limit=limit, reverse=reverse, snapshot=snapshot, mode=mode))
                return self._rows(chunk.rows)
            case "too_large":
                key = self._prefix + bytes(a[0] - len(self._prefix)) if a[0] else self._prefix + b"large"
                return t.set(key, bytes(a[1]))
            case "size_limit":
                return t.set_option(TransactionOption.SIZE_LIMIT, a[0])
            case "retry_limit":
                return t.set_option(TransactionOption.RETRY_LIMIT, a[0])
            case "read_version":
                return self._age(wait(t.read_version()))
            case "set_read_version":
                return t.set_read_version(self._version_of(a[0]))
            case "commit":
                return self._commit(t, step.client)
            case "reset":
                self._pending[step.client] = []
                return t.reset()
            case "cancel":
                t.cancel()
                self._pending[step.client] = []
                return t.reset()
            case "versionstamp":
                self._pending[step.client].append(t.versionstamp())
                return None
        raise AssertionError(step.verb)

    def _read_range(
        self, t: Transaction, begin: KeySelector, end: KeySelector, limit: int, reverse: bool, snapshot: bool
    ) -> list[tuple[bytes, bytes]]:
        """All chunks: where an engine cuts them is its own business."""
        rows: list[tuple[bytes, bytes]] = []
        while True:
            wanted = limit - len(rows) if limit else 0
            mode = StreamingMode.WANT_ALL
            chunk = wait(t.get_range(begin, end, limit=wanted, reverse=reverse, snapshot=snapshot, mode=mode))
            rows += chunk.rows
            if not chunk.more or not chunk.rows or (limit and len(rows) >= limit):
                return rows
            if reverse:
                end = KeySelector.first_greater_or_equal(rows[-1][0])
            else:
                begin = KeySelector.first_greater_than(rows[-1][0])

    def _commit(self, t: Transaction, client: int) -> str:
        """Commit, say how it ended, and leave the transaction ready for more."""
        stamp = t.versionstamp()
        asked, self._pending[client] = self._pending[client], []
        try:
            wait(t.commit())
        except TransactionError as error:
            outcome = f"error {error.number}"
            if error.number == 1020:
                outcome += f", reported {len(wait(t.conflicting_ranges())) > 0}"
            try:
                wait(t.on_error(error))
            except TransactionError as again:
                outcome += f", not retried ({again.number})"
                t.reset()
            # A stamp that was asked for has its outcome when the transaction begins anew.
            return outcome + "".join(f", stamp {self._outcome(waitable)}" for waitable in asked)
        version = t.committed_version()
        if version == -1:
            t.reset()
            return "nothing to commit" + "".join(f", stamp {self._outcome(waitable)}" for waitable in asked)
        found: bytes = wait(stamp)
        assert int.from_bytes(found[:8], "big") == version, "the stamp begins with the commit version"
        self._stamps.append(found)
        self._begin_reader()
        told = "".join(f", stamp {self._outcome(waitable)}" for waitable in asked)
        t.reset()
        return f"v{len(self._stamps)}{told}"

    def _outcome(self, waitable: Any) -> str:
        try:
            return self._shown(wait(waitable))
        except TransactionError as error:
            return f"error {error.number}"

    # -- names for what differs

    def _age(self, version: int) -> str:
        """How many of the program's commits a read version includes."""
        return f"after v{sum(int.from_bytes(stamp[:8], 'big') <= version for stamp in self._stamps)}"

    def _version_of(self, back: int) -> int:
        """The read version of one who began after an earlier commit, and still reads: only that is kept for sure."""
        return wait(self._readers[-min(back, len(self._readers))].read_version())

    def _begin_reader(self) -> None:
        if not self._sets_versions:
            return
        reader = self._engine.begin()
        wait(reader.read_version())
        self._readers.append(reader)

    def _shown(self, value: Any) -> str:
        if isinstance(value, bytes):
            return self._named(value)
        return str(value)

    def _named(self, value: bytes) -> str:
        for number, stamp in enumerate(self._stamps, 1):
            value = value.replace(stamp, b"<v%d>" % number)
        return f"{len(value)} bytes" if len(value) > 9_000 else repr(value).replace("b" * 520, "b*520")

    def _key(self, key: bytes) -> str:
        if key.startswith(self._prefix):
            return self._named(key[len(self._prefix) :])
        if key.startswith(self._outer):
            return "sentinel " + repr(key[len(self._outer) :])
        return "far below" if key < self._outer else "far above"

    def _rows(self, rows: list[tuple[bytes, bytes]]) -> str:
        return "[" + ", ".join(f"{self._key(key)}={self._named(value)}" for key, value in rows) + "]"

    def _selector(self, selector: KeySelector) -> KeySelector:
        return selector._replace(key=self._prefix + selector.key)

    # -- the data around and behind

    def _prepare(self) -> None:
        t = self._engine.begin()
        t.clear_range(self._outer, self._outer + b"\xff")
        for number in range(_SENTINELS):
            t.set(self._outer + b"a%02d" % number, b"low")
            t.set(self._outer + b"z%02d" % number, b"high")
        wait(t.commit())
        t.close()
        self._begin_reader()

    def _everything(self) -> list[tuple[bytes, bytes]]:
        t = self._engine.begin()
        begin, end = (KeySelector.first_greater_or_equal(key) for key in (self._prefix, self._outer + b"n"))
        rows = self._read_range(t, begin, end, limit=0, reverse=False, snapshot=False)
        t.close()
        return rows

    def clean(self) -> None:
        t = self._engine.begin()
        t.clear_range(self._outer, self._outer + b"\xff")
        wait(t.commit())
        t.close()


def wait(waitable: Any) -> Any:
    async def core() -> Any:
        return await waitable

    return run_blocking(core())
