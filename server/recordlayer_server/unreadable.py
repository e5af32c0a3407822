"""What a caller is told when only an index that is still to be built would answer: which one, and how far it is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from google.rpc import code_pb2

from recordlayer.aio import RecordStore
from recordlayer.errors import IndexNotReadable, NoPlan
from recordlayer_server import statuses


@asynccontextmanager
async def builds_are_told(store: RecordStore) -> AsyncIterator[None]:
    """Around reading: Raises  Refusal where an index that is built to its end would answer."""
    try:
        yield
    except IndexNotReadable as error:
        raise await _refusal(store, str(error.fields["index"])) from error
    except NoPlan as error:
        match error.fields.get("unreadable"):
            case [str() as index, *_]:
                raise await _refusal(store, index) from error
        raise


async def _refusal(store: RecordStore, index: str) -> statuses.Refusal:
    build = await store.build_of(index).progress()
    told: dict[str, Any] = {"index": index, "state": build.state.name}
    if build.method is not None:
        told |= {"records_scanned": build.scanned, "blocked": str(build.blocked).lower()}
        if build.total is not None:
            told["records"] = build.total
        if build.fraction is not None:
            told["progress"] = f"{build.fraction:.3f}"
    shown = told.get("progress", "not begun" if build.method is None else "not known")
    text = f"the index {index} would answer, and cannot be read yet: its build is at {shown}"
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "INDEX_NOT_READABLE", text, **told)
