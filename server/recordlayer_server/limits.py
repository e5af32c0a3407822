"""The limits that callers are told by GetServerInfo, and held to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts, bytes and durations; see the message Limits in protos/recordlayer/v1/server.proto."""

    operations_per_request: int = 200
    names_per_request: int = 200
    records_per_page: int = 200
    records_per_cascade: int = 750
    record_bytes: int = 1 << 20
    batch_bytes: int = 9_000_000
    message_bytes: int = 4 << 20
    filter_nodes: int = 200
    filter_depth: int = 20
    values_per_comparison: int = 200
    sort_in_memory: int = 10_000
    keys_per_page: int = 10_000
    bytes_per_page: int = 4 << 20
    time_per_page: timedelta = timedelta(seconds=2)
    default_deadline: timedelta = timedelta(seconds=10)
    max_deadline: timedelta = timedelta(seconds=60)
    idempotency_key_age: timedelta = timedelta(days=1)
    continuation_age: timedelta = timedelta(days=7)
    stream_window: int = 4
    zones_per_database: int = 1_000
    name_bytes: int = 255
    labels: int = 8
    label_bytes: int = 63
    zones_per_sync: int = 100
    deletions_kept: timedelta = timedelta(days=30)
    targets_per_stream: int = 2_000
    targets_per_database: int = 10_000
    targets_per_server: int = 20_000
    progress_interval: timedelta = timedelta(seconds=60)
    transaction_time: timedelta = timedelta(seconds=4.5)
    transaction_idle: timedelta = timedelta(seconds=2)
    transaction_operations: int = 1_000
    transaction_bytes: int = 32 << 20
    transactions_per_database: int = 32
    transactions_per_server: int = 1_000
    subscriptions_per_database: int = 100
    asset_bytes: int = 16 << 20
    asset_message_bytes: int = 1 << 20
    asset_kept: timedelta = timedelta(days=1)
    assets_per_record: int = 100
    events_per_notification: int = 100
    operations_per_database: int = 20
    operations_per_server: int = 4
    operations_kept: timedelta = timedelta(days=30)
    schema_bytes: int = 1 << 20
    schema_files: int = 100
    schema_messages: int = 2_000
    schema_fields: int = 10_000
    schema_depth: int = 32
    schema_indexes: int = 500


DEFAULT = Limits()
