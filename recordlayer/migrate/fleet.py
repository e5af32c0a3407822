"""Which stores a migration is of, how many go side by side, and how far it came."""

from __future__ import annotations

from dataclasses import dataclass, field

from recordlayer.errors import UsageError
from recordlayer.migrate.journal import Lease, Run
from recordlayer.migrate.plan import Plan
from recordlayer.store.open import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Which stores: those at some paths, or all below one."""

    paths: tuple[Path, ...] = ()
    below: Path | None = None

    def __post_init__(self) -> None:
        if bool(self.paths) == (self.below is not None):
            raise UsageError(paths=self.paths, below=self.below, hint="give paths of stores, or one path above them")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetRules:
    """How many stores are migrated.

    canary       the share of the stores that goes first, 0 to 1; at least one store unless it is 0
    only_canary  stop behind the canaries, to be resumed
    concurrency  stores under way at once
    stop_after   failed stores after which no other is begun
    """

    canary: float = 0.0
    only_canary: bool = False
    concurrency: int = 4
    stop_after: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.canary <= 1:
            raise UsageError(canary=self.canary, hint="give a share from 0 to 1")
        for name in ("concurrency", "stop_after"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise UsageError(option=name, got=getattr(self, name), hint="give a whole number of at least 1")


@dataclass(slots=True, kw_only=True)
class MigrationReport:
    """How far a run came.

    finished  nothing is left to do
    stores    there are
    done      of them in this call, and `skipped` that the run had behind it
    failed    stores that did not come through, with why
    waiting   by store, indexes that are built and not unique yet: resolve their violations, and resume
    stopped   why it stopped early; empty otherwise
    """

    version: int
    run: str
    finished: bool = False
    stores: int = 0
    done: int = 0
    skipped: int = 0
    failed: dict[bytes, str] = field(default_factory=dict)
    waiting: dict[bytes, list[str]] = field(default_factory=dict)
    stopped: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationStatus:
    """Where a migration is: what is stored, who is at work, how far the last run came, what is left."""

    version: int | None
    holder: Lease | None
    run: Run | None
    done: int
    plan: Plan
