"""The client's futures as waitables.

A future becomes ready on the client's network thread. One callback serves all of them: it is told the number under
which the waiting future is kept, rings its wakes, and returns; results are taken in the thread that awaits.

Cost    awaiting a future that is ready: one call to see that it is, one to take the result, one to free it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator
from ctypes import byref, c_int, c_int64, c_void_p, string_at
from struct import Struct
from typing import Any, TypeVar

from recordlayer.errors import OpenedBeforeFork, RecordLayerError
from recordlayer.kv.engine import Chunk
from recordlayer.kv.fdb.errors import error_of
from recordlayer.kv.fdb.native import Callback, Handle, Native, Owner, Pointer
from recordlayer.waiting.waitable import Waitable, Wake, block_on, ring

T = TypeVar("T")

_numbers = itertools.count(1)
_asked: dict[int, Pending[Any]] = {}


class Pending(Waitable[T]):
    """One future. Until its result is taken it keeps `keeps` alive: the client cancels what a destroyed transaction
    has under way."""

    __slots__ = ("_called", "_error", "_handle", "_keeps", "_native", "_owner", "_take", "_value", "_wakes")

    def __init__(
        self, native: Native, owner: Owner, pointer: Pointer, take: Callable[[Native, Pointer], T], keeps: object
    ) -> None:
        self._native = native
        self._owner = owner
        self._handle: Handle | None = Handle(pointer, native.future_destroy, owner)
        self._take = take
        self._keeps = keeps
        self._value: T
        self._error: RecordLayerError | None = None
        self._wakes: list[Wake] = []
        self._called = False  # whether the client knows that somebody waits

    def ready(self) -> bool:
        handle = self._handle
        return handle is None or self._owner.forked or bool(self._native.future_is_ready(handle.pointer))

    def block(self) -> None:
        if not self.ready():
            block_on(self.on_ready)

    def on_ready(self, wake: Wake) -> None:
        if self.ready():
            wake()
            return
        self._wakes.append(wake)
        if not self._called:
            self._called = True
            handle = self._handle
            assert handle is not None, "a future has one waiter, and this one has not taken the result"
            number = next(_numbers)
            _asked[number] = self
            self._native.future_set_callback(handle.pointer, _on_network_thread, number)
        elif self.ready():  # the callback may have come before the wake was there
            ring(self._wakes)

    def cancel(self) -> None:
        handle = self._handle
        if handle is not None and not self._owner.forked:
            self._native.future_cancel(handle.pointer)

    def __await__(self) -> Generator[Any, None, T]:
        while not self.ready():
            yield self
        if self._handle is not None:
            self._settle(self._handle)
        if self._error is not None:
            raise self._error
        return self._value

    def _settle(self, handle: Handle) -> None:
        """Take the outcome over from the client."""
        try:
            if self._owner.forked:
                raise OpenedBeforeFork
            self._value = self._take(self._native, handle.pointer)
        except RecordLayerError as error:
            self._error = error.with_traceback(None)
        self._handle = None
        self._keeps = None

    def ring(self) -> None:
        ring(self._wakes)


def _fired(_future: Pointer, number: int) -> None:
    pending = _asked.pop(number, None)
    if pending is not None:
        pending.ring()


_on_network_thread = Callback(_fired)


def forget_all() -> None:
    """After a fork: no callback will ever come here."""
    _asked.clear()


# -- taking results ------------------------------------------------------------------------------------------

# struct FDBKeyValue { const uint8_t* key; int key_length; const uint8_t* value; int value_length; }, packed
_PAIR = Struct("=QiQi")
_KEY = Struct("=Qi")


def nothing(native: Native, pointer: Pointer) -> None:
    _check(native, native.future_get_error(pointer))


def number(native: Native, pointer: Pointer) -> int:
    result = c_int64()
    _check(native, native.future_get_int64(pointer, byref(result)))
    return result.value


def key(native: Native, pointer: Pointer) -> bytes:
    data, length = c_void_p(), c_int()
    _check(native, native.future_get_key(pointer, byref(data), byref(length)))
    return string_at(data.value or 0, length.value)


def value(native: Native, pointer: Pointer) -> bytes | None:
    present, data, length = c_int(), c_void_p(), c_int()
    _check(native, native.future_get_value(pointer, byref(present), byref(data), byref(length)))
    return string_at(data.value or 0, length.value) if present.value else None


def chunk(native: Native, pointer: Pointer) -> Chunk:
    data, count, more = c_void_p(), c_int(), c_int()
    _check(native, native.future_get_keyvalue_array(pointer, byref(data), byref(count), byref(more)))
    # All pointers and lengths in one piece, then one copy each: an object per field is what a scan's time would go to.
    pairs = string_at(data.value or 0, count.value * _PAIR.size)
    rows = [
        (string_at(key_at, key_length), string_at(value_at, value_length))
        for key_at, key_length, value_at, value_length in _PAIR.iter_unpack(pairs)
    ]
    return Chunk(rows, bool(more.value))


def keys(native: Native, pointer: Pointer) -> list[bytes]:
    data, count = c_void_p(), c_int()
    _check(native, native.future_get_key_array(pointer, byref(data), byref(count)))
    items = string_at(data.value or 0, count.value * _KEY.size)
    return [string_at(at, length) for at, length in _KEY.iter_unpack(items)]


def _check(native: Native, code: int) -> None:
    if code:
        raise error_of(native, code)
