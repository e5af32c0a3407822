"""What changes of records do to assets.

A record may refer to an asset of its zone that is whole, in a field of its own or in a list that is one; what the
service knows of the asset stands in the field from then on. A record that ceases to refer, or goes, leaves word: then
somebody looks later whether anybody else does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from google.protobuf.message import Message
from google.rpc import code_pb2

from recordlayer.aio import RecordStore, Transaction
from recordlayer.client.pb import types_pb2
from recordlayer_server import statuses
from recordlayer_server.assets import catalog
from recordlayer_server.assets.catalog import Name
from recordlayer_server.databases import Databases
from recordlayer_server.holding import held, may_hold
from recordlayer_server.places import Tenant
from recordlayer_server.schema import ASSET, ASSETS

LONGEST_URL = 2_048
DIGEST_BYTES = 32
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]+", re.ASCII)

Key = tuple[str, str]


def indexes_of(records: RecordStore) -> list[str]:
    """The indexes that say which records refer to assets."""
    return [name for name in records.metadata.indexes if name.startswith(ASSETS)]


async def is_referred_to(records: RecordStore, name: Name, *, snapshot: bool = False) -> bool:
    """Whether a record refers to an asset. Unless it is a snapshot, the transaction conflicts with whoever begins to.

    Cost    1 range read of 1 entry for each field that holds assets, until one is found.
    Raises  IndexNotReadable, where nobody knows.
    """
    for index in indexes_of(records):
        if await records.scan_index(index, (name.zone, name.id), limit=1, snapshot=snapshot).all():
            return True
    return False


@dataclass(frozen=True, slots=True)
class Referring:
    """The changes of records in one transaction.

    now  microseconds since 1970
    """

    databases: Databases
    tx: Transaction
    tenant: Tenant
    now: int

    async def taken(self, key: Key, new: Message, old: Message | None, where: str) -> set[Name]:
        """Look at the assets of a record, and let its fields say what is known of them; those that its predecessor
        referred to and it does not, to be left when it is saved.

        Cost    1 read for each that its predecessor did not refer to, 1 round trip.
        Raises  Refusal.
        """
        before = {} if old is None else {one.id: one for one in _named(old)}
        if not may_hold(new.DESCRIPTOR, ASSET):
            return {Name(key[0], each) for each in before}
        found: list[tuple[Any, types_pb2.Asset]] = []
        for one, is_direct in held(new, ASSET):
            said = types_pb2.Asset.FromString(one.SerializePartialToString())
            kind = said.WhichOneof("place")
            if kind is None:
                raise statuses.bad_request(where, "give an asset's id, or the url of one that is kept elsewhere")
            if kind == "url":
                _check_url(said, where)
            elif not is_direct:
                text = "an asset is a field of the record itself, or in a list that is one"
                raise statuses.bad_request(where, text)
            else:
                found.append((one, said))
        names = {said.id for _, said in found}
        most = self.databases.limits.assets_per_record
        if len(names) > most:
            raise statuses.too_large(f"{where}: assets", limit=most, size=len(names))
        known = {each: one for each, one in before.items() if each in names}
        known.update(await self._known(key[0], sorted(names - known.keys())))
        for one, said in found:
            one.ParseFromString(_agreed(said, known[said.id]).SerializeToString())
        return {Name(key[0], each) for each in before.keys() - names}

    async def of_records(self, records: RecordStore, keys: Sequence[Key]) -> set[Name]:
        """What these records refer to, to be left when they are deleted.

        Cost  1 read each, 1 round trip; nothing where no record holds assets.
        """
        if not indexes_of(records):
            return set()
        await records.preload(keys)
        found = [(key, await records.load(key)) for key in keys]
        return {Name(key[0], one.id) for key, record in found if record is not None for one in _named(record)}

    async def left(self, names: Iterable[Name]) -> None:
        """Records have ceased to refer to these.  Cost  as `catalog.release`."""
        names = sorted(names)
        if not names:
            return
        store = await self.databases.assets(self.tx, self.tenant, create=True)
        assert store is not None, "it is made where records are"
        await catalog.release(store, names, self.now + in_microseconds(self.databases.limits.asset_kept))

    async def _known(self, zone: str, names: Sequence[str]) -> dict[str, types_pb2.Asset]:
        if not names:
            return {}
        store = await self.databases.assets(self.tx, self.tenant)
        assets = await catalog.find_all(store, [Name(zone, each) for each in names])
        for name, asset in zip(names, assets, strict=True):
            if asset is None or not asset.whole:
                text = "an asset that it refers to is " + ("not there" if asset is None else "not whole yet")
                raise _invalid(text, name)
        return {asset.id: catalog.shown(asset) for asset in assets if asset is not None}


def in_microseconds(time: timedelta) -> int:
    return time // timedelta(microseconds=1)


def _named(record: Message) -> list[types_pb2.Asset]:
    """The assets that a stored record refers to."""
    if not may_hold(record.DESCRIPTOR, ASSET):
        return []
    direct = [one for one, is_direct in held(record, ASSET) if is_direct]
    found = [types_pb2.Asset.FromString(one.SerializePartialToString()) for one in direct]
    return [one for one in found if one.HasField("id")]


def _check_url(said: types_pb2.Asset, where: str) -> None:
    if len(said.url) > LONGEST_URL or not _URL.fullmatch(said.url):
        raise statuses.bad_request(f"{where}.url", f"scheme://..., at most {LONGEST_URL} visible ASCII characters")
    if len(said.digest) not in (0, DIGEST_BYTES) or said.size < 0:
        raise statuses.bad_request(where, "a SHA-256 digest has 32 bytes, and a size is not below 0")


def _agreed(said: types_pb2.Asset, known: types_pb2.Asset) -> types_pb2.Asset:
    """What is known of an asset, if what a record says of it is nothing else.  Raises  Refusal."""
    for each in ("digest", "size", "content_type"):
        if getattr(said, each) not in (getattr(known, each), type(getattr(known, each))()):
            raise _invalid(f"an asset that it refers to has another {each}", said.id)
    return known


def _invalid(text: str, name: str) -> statuses.Refusal:
    return statuses.refusal(code_pb2.FAILED_PRECONDITION, "INVALID_ASSET", text, asset=name)
