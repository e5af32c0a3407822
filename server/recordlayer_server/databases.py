"""The stores of containers and their databases, opened in transactions.

A container is there if it has metadata. Databases come into being when something is first written to them; one that is
not there yet is empty. Where a database lies is remembered, since names that are interned keep their numbers; who is
asked for in vain leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

from recordlayer import RecordMetaData, RecordMetaDataBuilder, aio, concat, record_type
from recordlayer.aio import RecordStore, Transaction
from recordlayer.cursor.sealing import ContinuationSeal
from recordlayer.errors import FeedRefused, NameNotInterned, RecordLayerError, StoreMissing
from recordlayer.keyspace import KeySpacePath
from recordlayer.store.metadata_store import StoredMetaData
from recordlayer.tuples import Subspace
from recordlayer_server import places
from recordlayer_server.config import Hooks, StoreFormats
from recordlayer_server.limits import DEFAULT, Limits
from recordlayer_server.operation.storage import Storage
from recordlayer_server.pb import assets_pb2 as stored_assets
from recordlayer_server.pb import stored_pb2
from recordlayer_server.pb import subscriptions_pb2 as stored_subscriptions
from recordlayer_server.places import Tenant
from recordlayer_server.schemas.changing import put_settings
from recordlayer_server.schemas.instances import LEASE, Instance
from recordlayer_server.store_formats import USUAL, can_keep_changes, open_there, open_to_write

MOST_REMEMBERED = 10_000

ZONES = RecordMetaDataBuilder(stored_pb2.DESCRIPTOR).primary_key("Zone", "name").build()
SUBSCRIPTIONS = RecordMetaDataBuilder(stored_subscriptions.DESCRIPTOR).primary_key("Subscription", "id").build()
MATCHES = (
    RecordMetaDataBuilder(stored_subscriptions.DESCRIPTOR).primary_key("Match", concat("subscription", "name")).build()
)
ASSETS = (
    RecordMetaDataBuilder(stored_assets.DESCRIPTOR)
    .primary_key("Asset", concat(record_type(), "zone", "id"))
    .primary_key("Chunk", concat(record_type(), "zone", "asset", "number"))
    .primary_key("Release", concat(record_type(), "zone", "asset", "due_at", "nonce"))
    .index("Release", "by_due", "due_at")
    .build()
)
DELIVERIES = (
    RecordMetaDataBuilder(stored_subscriptions.DESCRIPTOR)
    .primary_key("Delivery", "subscription")
    .split_long_records()
    .build()
)
SECRETS = RecordMetaDataBuilder(stored_pb2.DESCRIPTOR).primary_key("Secret", "name").build()


class Place:
    """Where a database lies, and its container's metadata."""

    __slots__ = ("assets", "base", "metadata", "records", "zones")

    def __init__(self, metadata: StoredMetaData, base: Subspace) -> None:
        self.metadata = metadata
        self.base = base
        self.records: Subspace = base[0]
        self.zones: Subspace = base[1]
        self.assets: Subspace = base[4]


class Databases:
    """The databases of all containers in one database of the library's.

    counted   count what each of them reads and writes, and keep it to the limits that are set for it
    storage   bytes that each of them may have, 0 for any number
    hooks     which webhooks may be made and are served here, None for none
    clusters  others that databases can be moved to, by their names
    lease     how long other servers wait for this one when it has fallen silent
    formats   of stores: what new ones begin with, and whether older ones are raised
    """

    def __init__(
        self,
        database: aio.Database,
        *,
        limits: Limits = DEFAULT,
        counted: bool = False,
        storage: int = 0,
        hooks: Hooks | None = None,
        clusters: Mapping[str, Databases] | None = None,
        lease: timedelta = LEASE,
        formats: StoreFormats = USUAL,
    ) -> None:
        self.database = database
        self.limits = limits
        self.storage = Storage(database, most=storage)
        self.hooks = hooks
        self.clusters = {} if clusters is None else clusters
        self.instance = Instance(database, lease=lease, webhooks=hooks is not None)
        self.operations_due = asyncio.Event()
        """Set when something may be to be done about operations of Admin."""
        self.counted = counted
        self.formats = formats
        self._places: OrderedDict[Tenant, Place] = OrderedDict()
        self._metadata: OrderedDict[tuple[str, int], StoredMetaData] = OrderedDict()
        self._seal: ContinuationSeal | None = None
        self._token_seal: ContinuationSeal | None = None

    # -- containers ----------------------------------------------------------------------------------------

    async def put_container(self, name: str, description: bytes, environment: int) -> RecordMetaData:
        """Let a container have the schema that the settings describe, until one is applied by a caller; what is active
        then. `schema` says in which forms.

        Raises  SchemaError, EvolutionRefused; nothing has changed then.
        """
        return await put_settings(self.database, self.instance, name, environment, description)

    async def put_containers(self, descriptions: Mapping[str, bytes]) -> None:
        """Let containers have these schemas, in both environments.  Raises  as `put_container`."""
        for name, description in descriptions.items():
            for environment in (places.DEVELOPMENT, places.PRODUCTION):
                await self.put_container(name, description, environment)

    # -- stores --------------------------------------------------------------------------------------------

    async def metadata(self, tx: Transaction, tenant: Tenant) -> RecordMetaData | None:
        """The schema of a database's container, None if there is no such container."""
        stored = await self._stored_metadata(tx, tenant)
        if stored is None:
            return None
        try:
            return await tx.metadata_store(stored).load()
        except RecordLayerError as error:
            if error.code != "meta_data_missing":
                raise
            return None

    async def records(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        """The records of a database, None if nothing was ever written to it.

        Raises  MetaDataMissing if there is no such container.
        """
        place = await self.place(tx, tenant, create=create)
        if place is None:
            return None
        try:
            store = await self._open(tx, place.metadata, place.records, create=create)
        except StoreMissing:
            return None
        return await _keeping_changes(store, group_by=1) if create else store

    async def zones(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        """The zones of a database, None if none was ever made."""
        place = await self.place(tx, tenant, create=create)
        if place is None:
            return None
        try:
            store = await self._open(tx, ZONES, place.zones, create=create)
        except StoreMissing:
            return None
        return await _keeping_changes(store) if create else store

    async def subscriptions(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        """The subscriptions of a database, None if none was ever made."""
        return await self._beside(tx, tenant, 2, SUBSCRIPTIONS, create=create)

    async def matches(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        """What the queries of a database's subscriptions hold for, None if none was ever remembered."""
        return await self._beside(tx, tenant, 3, MATCHES, create=create)

    async def assets(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        """The assets of a database, None if none was ever begun."""
        return await self._beside(tx, tenant, 4, ASSETS, create=create)

    async def deliveries(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> RecordStore | None:
        """How the webhooks of a database do, None if there never was one."""
        return await self._beside(tx, tenant, 5, DELIVERIES, create=create)

    async def _beside(
        self, tx: Transaction, tenant: Tenant, number: int, metadata: RecordMetaData, *, create: bool
    ) -> RecordStore | None:
        """A store beside the records of a database."""
        place = await self.place(tx, tenant, create=create)
        if place is None:
            return None
        try:
            return await self._open(tx, metadata, place.base[number], create=create)
        except StoreMissing:
            return None

    async def _open(
        self, tx: Transaction, metadata: RecordMetaData | StoredMetaData, path: Subspace, *, create: bool
    ) -> RecordStore:
        """Raises  StoreMissing."""
        if create:
            return await open_to_write(tx, metadata, path, self.formats)
        return await open_there(tx, metadata, path)

    def worker(self, tenant: Tenant | None) -> aio.Database | aio.Tenant:
        """What runs the work of a database: itself, with its limits in keys and bytes, if it is to be counted and is
        known; work before that is little, and counts for nobody."""
        place = None if tenant is None or not self.counted else self._places.get(tenant)
        return self.database if place is None else self.database.tenant(place.base)

    async def is_full(self, tenant: Tenant) -> bool:
        """Whether a database has as much as it may."""
        place = self._places.get(tenant)
        return place is not None and await self.storage.is_full(place.base)

    async def where(self, tx: Transaction, tenant: Tenant) -> Subspace | None:
        """Where the records of a database are; None if nothing was ever written to it."""
        place = await self.place(tx, tenant)
        return None if place is None else place.records

    async def prefix(self, tx: Transaction, tenant: Tenant) -> bytes:
        """What the keys of a database's records begin with; made up for one that is not there yet."""
        place = await self.place(tx, tenant)
        return repr(tenant).encode() if place is None else place.records.key()

    async def place(self, tx: Transaction, tenant: Tenant, *, create: bool = False) -> Place | None:
        """Where a database lies; None if nothing was ever written to it, and it is not to be made."""
        known = self._places.get(tenant)
        if known is not None:
            return known
        stored = await self._stored_metadata(tx, tenant)
        if stored is None:
            return None
        path = places.of_database(tenant)
        found = await self._found(tx, path)
        if found is not None:
            place = Place(stored, found)
            # Not before the commit: this transaction may have given the user its number itself, and lose it to another.
            tx.after_commit(partial(self._remember, tenant, place))
            return place
        if not create:
            return None
        base = await tx.key_space(places.SPACE).resolve(path)
        return Place(stored, base.subspace)

    async def _remember(self, tenant: Tenant, place: Place) -> None:
        self._places[tenant] = place
        if len(self._places) > MOST_REMEMBERED:
            self._places.popitem(last=False)

    async def _found(self, tx: Transaction, path: KeySpacePath) -> Subspace | None:
        try:
            base = await tx.key_space(places.SPACE).resolve(path, create=False)
        except NameNotInterned:
            return None
        return base.subspace

    async def _stored_metadata(self, tx: Transaction, tenant: Tenant) -> StoredMetaData | None:
        key = (tenant.container, tenant.environment)
        known = self._metadata.get(key)
        if known is None:
            try:
                path = places.of_metadata(*key)
                resolved = await tx.key_space(places.SPACE).resolve(path, create=False)
            except NameNotInterned:
                return None
            known = self._metadata[key] = StoredMetaData(path=resolved.subspace)
            if len(self._metadata) > MOST_REMEMBERED:
                self._metadata.popitem(last=False)
        return known

    # -- seals ---------------------------------------------------------------------------------------------

    async def seal(self) -> ContinuationSeal:
        """What seals continuations: its keys are kept in the database, so all servers of it have the same."""
        if self._seal is None:
            self._seal = await self._sealing(self.limits.continuation_age)
        return self._seal

    async def token_seal(self) -> ContinuationSeal:
        """What seals the tokens of Sync: the same keys, for ever."""
        if self._token_seal is None:
            self._token_seal = await self._sealing(None)
        return self._token_seal

    async def _sealing(self, lifetime: timedelta | None) -> ContinuationSeal:
        found = await self.database.run(_secrets)
        newest = max(found, key=lambda one: one.created_at)
        return ContinuationSeal({one.name: one.value for one in found}, current=newest.name, lifetime=lifetime)


async def _keeping_changes(store: RecordStore, *, group_by: int = 0) -> RecordStore:
    """The same store, whose feed is on from the first write of this service to it; not where Java writes too."""
    if store.feed.settings is None and can_keep_changes(store):
        with contextlib.suppress(FeedRefused):
            await store.feed.enable(group_by=group_by)
    return store


async def _secrets(tx: Transaction) -> list[Any]:
    store = await tx.store(SECRETS, path=places.of_server())
    found: list[Any] = await store.scan().all()
    if not found:
        found = [
            stored_pb2.Secret(name="1", value=secrets.token_bytes(64), created_at=time.time_ns() // 1_000),
        ]
        await store.insert(found[0])
    return found
