"""The C client's functions, with their argument types.

The binding declares them too, but has every one raise an exception of its own: here they return FoundationDB's error
codes, which `errors.py` turns into ours.

Source  fdb_c.h of FoundationDB 7.3.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int, c_int64, c_void_p
from struct import pack
from typing import Any

from recordlayer.kv.option_values import Checked

Pointer = int
"""The address of something that the C client owns."""

Callback: Any = ctypes.CFUNCTYPE(None, c_void_p, c_void_p)

_BYTES = (c_char_p, c_int)

# name -> (result, arguments)
_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "create_database": (c_int, (c_char_p, POINTER(c_void_p))),
    "database_destroy": (None, (c_void_p,)),
    "database_set_option": (c_int, (c_void_p, c_int, *_BYTES)),
    "database_create_transaction": (c_int, (c_void_p, POINTER(c_void_p))),
    "database_get_client_status": (c_void_p, (c_void_p,)),
    "transaction_destroy": (None, (c_void_p,)),
    "transaction_cancel": (None, (c_void_p,)),
    "transaction_reset": (None, (c_void_p,)),
    "transaction_set_option": (c_int, (c_void_p, c_int, *_BYTES)),
    "transaction_set_read_version": (None, (c_void_p, c_int64)),
    "transaction_get_read_version": (c_void_p, (c_void_p,)),
    "transaction_get": (c_void_p, (c_void_p, *_BYTES, c_int)),
    "transaction_get_key": (c_void_p, (c_void_p, *_BYTES, c_int, c_int, c_int)),
    "transaction_get_range": (
        c_void_p,
        (c_void_p, *_BYTES, c_int, c_int, *_BYTES, c_int, c_int, c_int, c_int, c_int, c_int, c_int, c_int),
    ),
    "transaction_get_estimated_range_size_bytes": (c_void_p, (c_void_p, *_BYTES, *_BYTES)),
    "transaction_get_range_split_points": (c_void_p, (c_void_p, *_BYTES, *_BYTES, c_int64)),
    "transaction_watch": (c_void_p, (c_void_p, *_BYTES)),
    "transaction_set": (None, (c_void_p, *_BYTES, *_BYTES)),
    "transaction_clear": (None, (c_void_p, *_BYTES)),
    "transaction_clear_range": (None, (c_void_p, *_BYTES, *_BYTES)),
    "transaction_atomic_op": (None, (c_void_p, *_BYTES, *_BYTES, c_int)),
    "transaction_add_conflict_range": (c_int, (c_void_p, *_BYTES, *_BYTES, c_int)),
    "transaction_commit": (c_void_p, (c_void_p,)),
    "transaction_on_error": (c_void_p, (c_void_p, c_int)),
    "transaction_get_committed_version": (c_int, (c_void_p, POINTER(c_int64))),
    "transaction_get_versionstamp": (c_void_p, (c_void_p,)),
    "transaction_get_approximate_size": (c_void_p, (c_void_p,)),
    "future_destroy": (None, (c_void_p,)),
    "future_cancel": (None, (c_void_p,)),
    "future_is_ready": (c_int, (c_void_p,)),
    "future_set_callback": (c_int, (c_void_p, Callback, c_void_p)),
    "future_get_error": (c_int, (c_void_p,)),
    "future_get_int64": (c_int, (c_void_p, POINTER(c_int64))),
    "future_get_key": (c_int, (c_void_p, POINTER(c_void_p), POINTER(c_int))),
    "future_get_value": (c_int, (c_void_p, POINTER(c_int), POINTER(c_void_p), POINTER(c_int))),
    "future_get_keyvalue_array": (c_int, (c_void_p, POINTER(c_void_p), POINTER(c_int), POINTER(c_int))),
    "future_get_key_array": (c_int, (c_void_p, POINTER(c_void_p), POINTER(c_int))),
    "get_client_version": (c_char_p, ()),
    "get_error": (c_char_p, (c_int,)),
}


def option_bytes(checked: Checked) -> bytes | None:
    """An option's value as the C client takes it."""
    return pack("<q", checked) if isinstance(checked, int) else checked


class Native:
    """The functions of a loaded client library, without their prefix `fdb_`."""

    def __init__(self, library: str) -> None:
        # The same library that the binding has loaded: the system hands out one of each. The function objects are our
        # own, so the binding's checks do not run.
        loaded = ctypes.CDLL(library)
        for name, (result, arguments) in _PROTOTYPES.items():
            function = getattr(loaded, f"fdb_{name}")
            function.restype = result
            function.argtypes = arguments
            setattr(self, name, function)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        # For type checkers: the functions are set above.
        raise AttributeError(name)


class Handle:
    """One object of the C client, given back to it when nobody refers to it any more.

    That is what makes it safe to cancel a future in one thread while another takes its result: each holds the handle
    for as long as it uses the pointer.
    """

    __slots__ = ("_destroy", "_owner", "pointer")

    def __init__(self, pointer: Pointer, destroy: Callable[[Pointer], None], owner: Owner) -> None:
        self.pointer = pointer
        self._destroy = destroy
        self._owner = owner

    def __del__(self) -> None:
        if not self._owner.forked:
            self._destroy(self.pointer)


class Owner:
    """Which process the C client's objects belong to."""

    __slots__ = ("forked",)

    def __init__(self) -> None:
        self.forked = False  # whether this process inherited them: then they are not to be touched
