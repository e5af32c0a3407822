"""The compiled core: functions of the library once more, in C, where a profile shows that it pays.

It is there when the library was installed where a C compiler and Python's headers are. Without it everything is the
same, only slower; RECORDLAYER_PURE=1 in the environment leaves it out.

A function in C is made from the Python function that it stands for, does the usual case, and hands to that function
whatever else it meets. So there is one place that knows what is an error and how it reads. The sources are in native/.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

PURE: Final = "RECORDLAYER_PURE"
_REVISION: Final = 15  # that of native/module.c: what is installed may have been built from other sources


def _found() -> Any:
    if os.environ.get(PURE, "0") not in ("", "0"):
        return None
    try:
        module = import_module("recordlayer._core")
    except ImportError:
        return None
    return module if module.REVISION == _REVISION else None


_CORE: Final = _found()
__compiled__: Final = _CORE is not None
"""Whether the compiled core is used: `recordlayer.__compiled__`."""

twins: Final[dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]]] = {}
"""What `in_c` has decorated, by name: in Python, and in C if the core is used."""


def made_in_c(name: str, function: F, *more: object) -> F:
    """The function of that name in C, made from the one in Python and `more`; the one in Python without the core."""
    if _CORE is None:
        return function
    made: F = getattr(_CORE, f"make_{name}")(function, *more)
    return made


def in_c(name: str, *more: object) -> Callable[[F], F]:
    """A decorator: `made_in_c`."""

    def choose(function: F) -> F:
        made = made_in_c(name, function, *more)
        twins[name] = function, None if _CORE is None else made
        return made

    return choose
