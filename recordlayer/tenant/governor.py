"""Who of the tenants may go on: the accounts of one process.

A transaction is let in while its tenant's account has something left; what it really used is known at its end and is
taken then, so an account may go below nothing, and pays that back before anybody else is let in. What transactions of a
tenant usually use is taken when they are let in, so that many who wait do not all come at once.

Those who wait are let in one after the other, as what they need flows in, in about the order in which they came: all at
once, whenever something has been leased, they would be in the way of everybody else.

Once in half a second the account is settled with the bucket in the database: see `bucket`. New limits are seen then,
and what was used is added to the tenant's counters there. Tenants without limits are settled every few seconds.

Cost    nothing for a transaction; a settlement is 2 reads and up to 7 writes for each tenant that is at work, at most
        four times a second in each process
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import TypeVar

from recordlayer.errors import MaybeCommitted, NameNotInterned, TenantOverLimit
from recordlayer.kv.beginning import Beginning
from recordlayer.kv.context import Context
from recordlayer.kv.engine import MutationType
from recordlayer.observe.events import Counts, Origin, TenantCharged, TenantRefused
from recordlayer.options import TransactionOptions
from recordlayer.store.open import Path
from recordlayer.tenant.bucket import LEASE_SECONDS, Amounts, Bucket
from recordlayer.tenant.limits import COUNTED, RESOURCES, Overload, TenantLimits, TenantUsage, used
from recordlayer.tenant.marks import bucket_key, limits_key, usage_key
from recordlayer.tenant.place import TenantPlace, tenant_place
from recordlayer.tenant.steps import Steps
from recordlayer.waiting.timer import sleep

K = TypeVar("K")
T = TypeVar("T")

MOST_ACCOUNTS = 10_000
UNLIMITED_SECONDS = 2.0
"""How long it takes until new limits are seen for a tenant that had none, or has nothing left."""
_BETWEEN_SECONDS = 0.25
_LONGEST_NAP = 1.0
_SAVED = 1.0  # seconds' worth that only a tenant has left that was quiet: while it has more nobody waits
_SLACK = 0.05  # seconds by which those who wait may be behind their times, and make up for it
_NONE: Amounts = [0.0] * len(RESOURCES)
_REFUSED = len(RESOURCES) + 1
_TRANSACTIONS = len(RESOURCES)


class Account:
    """What one process holds of one tenant.

    limits   as of the last settlement; None for none
    balance  what is left of the lease, in the order of RESOURCES
    usual    what a transaction usually takes
    unsaid   what was counted and is not in the database yet, in the order of COUNTED
    """

    __slots__ = (
        "again_at",
        "balance",
        "clear_at",
        "limits",
        "next_at",
        "place",
        "queue",
        "settled_at",
        "settling",
        "text",
        "unsaid",
        "usual",
    )

    def __init__(self, place: TenantPlace) -> None:
        self.place = place
        self.text = str(place)
        self.limits: TenantLimits | None = None
        self.balance: Amounts = list(_NONE)
        self.usual: Amounts = list(_NONE)
        self.unsaid = [0] * len(COUNTED)
        self.settled_at: float | None = None
        self.again_at = 0.0  # no earlier settlement
        self.clear_at = 0.0  # when the bucket will have something again
        self.settling = False
        self.next_at = 0.0  # when the next one of those who wait may go
        self.queue: dict[object, None] = {}  # those who wait, in the order in which they came

    def may_go(self) -> bool:
        """Whether something of everything that is limited is left."""
        limits = self.limits
        if limits is None:
            return self.settled_at is not None
        return all(rate is None or left > 0.0 for rate, left in zip(limits.rates, self.balance, strict=True))

    @property
    def rates(self) -> list[float | None]:
        """What flows in a second; nothing without limits."""
        return [] if self.limits is None else self.limits.rates

    @property
    def left(self) -> float:
        """For how many seconds what is left would last at the rates of the limits."""
        left = [left / rate for rate, left in zip(self.rates, self.balance, strict=False) if rate]
        return max(0.0, min(left, default=0.0))

    def is_due(self, now: float) -> bool:
        """Whether it is time to settle."""
        if self.settled_at is None:
            return True
        age = now - self.settled_at
        return age >= (UNLIMITED_SECONDS if self.limits is None else LEASE_SECONDS)

    def seconds_left(self, now: float) -> float:
        """How long it takes until there is something again, at least."""
        owed = max([-left / rate for rate, left in zip(self.rates, self.balance, strict=False) if rate], default=0.0)
        return max(0.01, self.clear_at - now, self.again_at - now, owed)

    @property
    def gap(self) -> float:
        """Seconds in which there flows in what a transaction usually takes."""
        needed = [min(usual / rate, 1.0) for rate, usual in zip(self.rates, self.usual, strict=False) if rate]
        return max(needed, default=0.0)

    def ahead_of(self, one: object) -> int:
        """How many have waited for longer."""
        return list(self.queue).index(one)

    def refusal(self, beginning: Beginning, wait: float) -> TenantOverLimit:
        """What is told to somebody who is not let in."""
        self.unsaid[_REFUSED] += 1
        _tell(beginning, TenantRefused(tenant=self.text, retry_after=timedelta(seconds=wait)))
        return TenantOverLimit(tenant=self.text, retry_after_seconds=round(wait, 3))

    def reserve(self, now: float) -> Amounts:
        """Take what a transaction usually needs."""
        self.next_at = (max(self.next_at, now - _SLACK) if self.queue else now) + self.gap / (1.0 + self.left)
        taken = list(self.usual)
        for place, amount in enumerate(taken):
            self.balance[place] -= amount
        return taken

    def charge(self, amounts: list[int], reserved: Amounts) -> None:
        """A transaction has used so much, of which so much was taken before."""
        for place, amount in enumerate(amounts):
            self.balance[place] += reserved[place] - amount
            self.usual[place] += (amount - self.usual[place]) / 8
            self.unsaid[place] += amount
        self.unsaid[_TRANSACTIONS] += 1


class Governor:
    """The accounts of all tenants that this process works for. One for a database, kept with what is shared."""

    def __init__(self) -> None:
        self._accounts: dict[bytes, Account] = {}
        self._places: dict[object, TenantPlace] = {}
        self._holder = 0

    def known(self, path: Path) -> Account | None:
        """The account of a tenant that has one already."""
        place = self._places.get(tuple(path) if isinstance(path, list) else path)
        return None if place is None else self._accounts.get(place.prefix)

    async def account(self, beginning: Beginning, path: Path) -> Account | None:
        """The account of a tenant; None for one of a name that nobody has interned: it has no limits."""
        key: object = tuple(path) if isinstance(path, list) else path
        place = self._places.get(key)
        if place is None:
            try:
                place = await _steps(beginning).run(lambda context: tenant_place(context, path))
            except NameNotInterned:
                return None
            _keep(self._places, key, place)
        found = self._accounts.get(place.prefix)
        if found is None:
            found = Account(place)
            _keep(self._accounts, place.prefix, found)
        return found

    async def settle(self, beginning: Beginning, account: Account) -> None:
        """Bring back what is left, lease for the next half second, look at the limits, say what was used."""
        world = beginning.world
        if not self._holder:
            self._holder = world.random.getrandbits(48) | 1
        account.settling = True
        back, said = account.balance, account.unsaid
        account.balance, account.unsaid = list(_NONE), [0] * len(COUNTED)
        limited = account.limits is not None
        wait = 0.0

        async def visit(context: Context) -> tuple[TenantLimits | None, Amounts, float]:
            prefix = account.place.prefix
            asked, held = context.get(limits_key(prefix)), context.get(bucket_key(prefix))
            stored, kept = await asked, await held
            for number, count in enumerate(said):
                if count:
                    context.atomic(MutationType.ADD, usage_key(prefix, number), count.to_bytes(8, "little"))
            if stored is None:
                return None, list(_NONE), 0.0
            limits, now = TenantLimits.of(stored), world.clock.wall()
            bucket = Bucket.full(limits, now) if kept is None else Bucket.of(kept)
            bucket.fill(limits, now)
            granted = bucket.lease(limits, self._holder, back if limited else list(_NONE))
            context.set(bucket_key(prefix), bucket.packed())
            return limits, granted, bucket.seconds_until(limits, granted)

        try:
            account.limits, granted, wait = await _steps(beginning).run(visit, twice=False)
        except MaybeCommitted:
            granted = list(_NONE)  # what may have been leased is lost, rather than leased twice
        except BaseException:
            _add(account.balance, back)
            for number, count in enumerate(said):
                account.unsaid[number] += count
            raise
        finally:
            account.settling = False
            now = world.clock.monotonic()
            account.clear_at = now + max(_BETWEEN_SECONDS, wait)
            account.again_at = min(account.clear_at, now + UNLIMITED_SECONDS)
        _add(account.balance, granted)
        account.settled_at = now

    async def admit(
        self, beginning: Beginning, account: Account, *, overload: Overload, most: timedelta | None
    ) -> Amounts:
        """Let a transaction in; what was taken for it.

        Cost    none, or a settlement.
        Raises  TenantOverLimit.
        """
        clock = beginning.world.clock
        began = now = clock.monotonic()
        me = object()
        try:
            while True:
                may_go = account.may_go()
                if not account.settling and (account.is_due(now) or not may_go) and now >= account.again_at:
                    await self.settle(beginning, account)
                    may_go, now = account.may_go(), clock.monotonic()
                paced = overload is Overload.WAIT and account.queue and now < account.next_at and account.left <= _SAVED
                if may_go and not paced:
                    return account.reserve(now)
                left = account.next_at - now if may_go else account.seconds_left(now)
                if overload is Overload.FAIL or (most is not None and now + left - began > most.total_seconds()):
                    raise account.refusal(beginning, left)
                account.queue[me] = None
                begins = account.next_at if may_go else account.again_at
                nap = begins - now + account.ahead_of(me) * account.gap
                await sleep(max(0.01, min(nap, _LONGEST_NAP)), beginning.world)
                now = clock.monotonic()
        finally:
            account.queue.pop(me, None)


class Gate:
    """One unit of work of a tenant: it is let in before each attempt, and charged behind it."""

    def __init__(self, beginning: Beginning, path: Path, *, overload: Overload, most: timedelta | None) -> None:
        self._beginning = beginning
        self._governor = beginning.shared.of(Governor)
        self._path = path
        self._overload = overload
        self._most = most
        self._account: Account | None = None
        self._reserved: Amounts | None = None

    def check(self) -> None:
        """Refuse at once what would be refused anyway, before anything is begun for it.  Raises  TenantOverLimit."""
        if self._overload is Overload.FAIL:
            account = self._account = self._governor.known(self._path)
            now = self._beginning.world.clock.monotonic()
            if account is not None and now < account.again_at and not account.may_go():
                raise account.refusal(self._beginning, account.seconds_left(now))

    async def admit(self) -> None:
        """Raises  TenantOverLimit."""
        if self._account is None:
            self._account = await self._governor.account(self._beginning, self._path)
        if self._account is not None:
            self._reserved = await self._governor.admit(
                self._beginning, self._account, overload=self._overload, most=self._most
            )

    def charge(self, origin: Origin, counts: Counts) -> None:
        """An attempt has ended."""
        account, reserved = self._account, self._reserved
        if account is None or reserved is None:
            return  # it was not let in
        self._reserved = None
        amounts = used(counts)
        account.charge(amounts, reserved)
        event = TenantCharged(
            origin=origin,
            tenant=account.text,
            **dict(zip(RESOURCES, amounts, strict=True)),  # type: ignore[arg-type]  # numbers of bytes
        )
        _tell(self._beginning, event)


def _tell(beginning: Beginning, event: TenantCharged | TenantRefused) -> None:
    if beginning.observed is not None:
        beginning.observed.observers.observe(event)


def _add(balance: Amounts, more: Amounts) -> None:
    for place, amount in enumerate(more):
        balance[place] += amount


def _keep(kept: dict[K, T], key: K, value: T) -> None:
    kept[key] = value
    while len(kept) > MOST_ACCOUNTS:
        kept.pop(next(iter(kept)), None)


def _steps(beginning: Beginning) -> Steps:
    return Steps(beginning, "tenant limits", None, TransactionOptions(name="tenant limits"))


# -- what callers ask for


async def set_limits(beginning: Beginning, path: Path, limits: TenantLimits | None) -> None:
    """Set a tenant's limits, or remove them. Every process goes by them within a few seconds.

    Cost  1 read, 2 writes; its name is interned if it is new.
    """

    async def change(context: Context) -> None:
        place = await tenant_place(context, path, create=True)
        if limits is None:
            context.clear(limits_key(place.prefix))
            context.clear(bucket_key(place.prefix))
            return
        kept = await context.get(bucket_key(place.prefix))
        context.set(limits_key(place.prefix), limits.packed())
        if kept is not None:
            return
        now = beginning.world.clock.wall()
        context.set(bucket_key(place.prefix), Bucket.full(limits, now).packed())

    await _steps(beginning).run(change)


async def limits_of(beginning: Beginning, path: Path) -> TenantLimits | None:
    """A tenant's limits, None if it has none.  Cost  1 read."""

    async def look(context: Context) -> TenantLimits | None:
        place = await tenant_place(context, path)
        stored = await context.get(limits_key(place.prefix))
        return None if stored is None else TenantLimits.of(stored)

    return await _steps(beginning).run(look)


async def usage_of(beginning: Beginning, path: Path) -> TenantUsage:
    """What a tenant has used, in all processes; in others than this one, up to their last settlement.

    Cost  a settlement, if this process has worked for it; 6 reads in 1 round trip.
    """
    governor = beginning.shared.of(Governor)
    account = await governor.account(beginning, path)
    if account is not None and any(account.unsaid):
        await governor.settle(beginning, account)

    async def look(context: Context) -> TenantUsage:
        place = await tenant_place(context, path)
        asked: list[Awaitable[bytes | None]] = [
            context.get(usage_key(place.prefix, number), snapshot=True) for number in range(len(COUNTED))
        ]
        counts = [int.from_bytes(await one or b"", "little") for one in asked]
        return TenantUsage(**dict(zip(COUNTED, counts, strict=True)))

    return await _steps(beginning).run(look)
