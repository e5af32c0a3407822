"""Making a commit that is in the base visible: new readers get its version, older ones keep what they need.

The window is held to its budget here. Commits are slowed down first, to the pace at which five seconds of them fit;
when that is not enough, the oldest readers are given up: they answer TooOld from then on.
"""

from __future__ import annotations

from collections.abc import Sequence

from recordlayer.kv.embedded.commit_request import CommitRequest
from recordlayer.kv.embedded.database import OpenFile
from recordlayer.kv.embedded.window import Pending
from recordlayer.kv.engine import LIFETIME_SECONDS

MOST_RANGES = 100_000  # steps of written ranges kept for conflicts
_AT_ONCE = 2000  # keys handled in one go while others wait for the lock
_SOFT = 0.75  # of the budget: from here on commits are slowed down
_LONGEST_DELAY = 0.02  # seconds


def publish(file: OpenFile, pending: Pending, accepted: Sequence[CommitRequest]) -> float:
    """Make `pending` the newest version. Seconds that the next commit should wait."""
    window, readers = file.window, file.readers
    before = window.size
    with file.lock:
        for request in accepted:
            if request.reader is not None:
                request.let_go(readers)
        while file.orphans:
            readers.leave(file.orphans.popleft())
        if not readers.cells and window.holds_nothing and not file.ranges.newest:
            # The usual case of one transaction after the other: nobody needs what was replaced.
            window.pending = None
            file.published = window.floor = pending.version
            return 0.0
        readers.expire(file.world.clock.monotonic())
        if pending.size > window.budget:
            readers.give_up_below(pending.version)  # it alone is more than may be kept
        if readers.oldest() is not None:
            window.keep(pending)
        _switch(file, pending)
    while window.crowded:
        with file.lock:
            window.merge(readers, _AT_ONCE)
    delay = _delay(file, window.size - before)
    _make_room(file)
    return delay


def _switch(file: OpenFile, pending: Pending) -> None:
    """From here on the commit's version is the newest. Its entries are kept already, where anybody needs them."""
    window, version = file.window, pending.version
    oldest = file.readers.oldest()
    if oldest is not None:
        for begin, end in pending.ranges:
            file.ranges.write(begin, end, version)
    window.pending = None
    file.published = version
    window.raise_floor(oldest, version)
    window.prune_after(pending)
    file.ranges.prune(window.floor)


def _make_room(file: OpenFile) -> None:
    window, readers = file.window, file.readers
    while window.size > window.budget or len(file.ranges) > MOST_RANGES:
        with file.lock:
            if window.prune(_AT_ONCE):
                continue
            oldest = readers.oldest()
            if oldest is None:
                return
            readers.give_up_below(oldest + 1)
            window.raise_floor(readers.oldest(), file.published)
            file.ranges.prune(window.floor, now=True)


def _delay(file: OpenFile, added: int) -> float:
    window = file.window
    soft = window.budget * _SOFT
    if window.size <= soft:
        return 0.0
    pressure = (window.size - soft) / (window.budget - soft)
    return min(_LONGEST_DELAY, max(0, added) * LIFETIME_SECONDS / window.budget * 2 * pressure)
