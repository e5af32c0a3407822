"""What the options of a transaction change in this engine.

Options about a cluster's network, placement, tracing and priorities are checked and then do nothing. Nor does the one
that lifts the protection of a commit under way: here no use of its transaction makes a commit fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from recordlayer.kv.engine import DatabaseOption, OptionValue, TransactionOption
from recordlayer.kv.option_values import DEFAULT_OF, Labels, database_option, transaction_option

_T = TransactionOption


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the options of one transaction come to."""

    timeout: float = 0.0  # seconds, 0 for none
    retry_limit: int = -1
    max_retry_delay: float = 1.0  # seconds
    size_limit: int = 10_000_000
    read_your_writes: bool = True
    snapshot_reads_see_writes: int = 1  # a counter: the two options undo each other
    bypass_unreadable: bool = False
    report_conflicts: bool = False
    read_system_keys: bool = False
    write_system_keys: bool = False
    lock_aware: bool = False
    read_only: bool = False
    labels: Labels = field(default_factory=Labels)


def with_option(settings: Settings, option: TransactionOption, value: OptionValue) -> Settings:
    """The settings after an option was set.  Raises  what `option_values` raises."""
    option, checked = transaction_option(option, value)
    labels = settings.labels.after(option, checked)
    if labels is not settings.labels:
        return replace(settings, labels=labels)
    if isinstance(checked, int):
        match option:
            case _T.TIMEOUT:
                return replace(settings, timeout=checked / 1000)
            case _T.RETRY_LIMIT:
                return replace(settings, retry_limit=checked)
            case _T.MAX_RETRY_DELAY:
                return replace(settings, max_retry_delay=checked / 1000)
            case _T.SIZE_LIMIT:
                return replace(settings, size_limit=checked)
        return settings
    match option:
        case _T.READ_YOUR_WRITES_DISABLE:
            return replace(settings, read_your_writes=False)
        case _T.SNAPSHOT_RYW_ENABLE:
            return replace(settings, snapshot_reads_see_writes=settings.snapshot_reads_see_writes + 1)
        case _T.SNAPSHOT_RYW_DISABLE:
            return replace(settings, snapshot_reads_see_writes=settings.snapshot_reads_see_writes - 1)
        case _T.BYPASS_UNREADABLE:
            return replace(settings, bypass_unreadable=True)
        case _T.REPORT_CONFLICTING_KEYS:
            return replace(settings, report_conflicts=True)
        case _T.READ_SYSTEM_KEYS:
            return replace(settings, read_system_keys=True)
        case _T.ACCESS_SYSTEM_KEYS:
            return replace(settings, read_system_keys=True, write_system_keys=True)
        case _T.LOCK_AWARE:
            return replace(settings, lock_aware=True, read_only=False)
        case _T.READ_LOCK_AWARE if not settings.lock_aware:
            return replace(settings, lock_aware=True, read_only=True)
    return settings


def after_error(settings: Settings, defaults: Settings) -> Settings:
    """What remains of a transaction's options when `on_error` resets it."""
    return replace(
        defaults,
        timeout=settings.timeout,
        retry_limit=settings.retry_limit,
        max_retry_delay=settings.max_retry_delay,
    )


def with_database_option(defaults: Settings, option: DatabaseOption, value: OptionValue) -> Settings:
    """The defaults of transactions after a database option was set.  Raises  what `option_values` raises."""
    option, checked = database_option(option, value)
    return with_option(defaults, DEFAULT_OF[option], checked) if option in DEFAULT_OF else defaults
