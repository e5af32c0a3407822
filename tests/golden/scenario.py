"""Reading golden files."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recordlayer.metadata import RecordMetaData

OUR_COPY = Path(__file__).parent / "java"

STORE_OPERATIONS = frozenset(
    {
        "block_index_builds",
        "build_stopped",
        "clear_and_mark_index_write_only",
        "clear_header_user_field",
        "clear_store_lock_state",
        "delete",
        "delete_all_records",
        "delete_records_where",
        "leaderboard_save_sub_directory",
        "leaderboard_window_update",
        "mark_index_disabled",
        "mark_index_readable",
        "mark_index_readable_or_unique_pending",
        "mark_index_write_only",
        "mark_index_write_only_with_queue",
        "online_index_build",
        "read_index_states",
        "rebuild_index",
        "save",
        "set_header_user_field",
        "set_state_cacheability",
        "set_store_lock_state",
        "unblock_index_builds",
        "unchecked_mark_index_readable",
        "update_incarnation",
        "update_record_count_state",
    }
)
METADATA_OPERATIONS = frozenset(
    {"add_index", "drop_index", "save_file_descriptor", "save_metadata", "update_store_record_versions"}
)
KEY_SPACE_OPERATIONS = frozenset({"disable_write_lock", "enable_write_lock", "resolve", "resolve_path"})
OPERATIONS = STORE_OPERATIONS | METADATA_OPERATIONS | KEY_SPACE_OPERATIONS


@dataclass(frozen=True)
class Scenario:
    """One golden file."""

    path: Path

    @cached_property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text())
        return found

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def kind(self) -> str:
        return str(self.data["kind"])

    @cached_property
    def metadata_messages(self) -> list[bytes]:
        """The serialised metadata versions that the file holds."""
        versions = [base64.b64decode(version["metadata"]) for version in self.data.get("metadata_versions", [])]
        if "metadata" in self.data:
            versions.append(base64.b64decode(self.data["metadata"]))
        return versions

    @cached_property
    def metadata(self) -> list[RecordMetaData]:
        return [RecordMetaData.from_bytes(message) for message in self.metadata_messages]

    @property
    def steps(self) -> list[dict[str, Any]]:
        return list(self.data.get("steps", []))


def record_of(operation: dict[str, Any]) -> bytes:
    """The serialised record of a save, without the union around it."""
    if "record_gzip" in operation:
        return gzip.decompress(base64.b64decode(operation["record_gzip"]))
    return base64.b64decode(operation["record"])


def scenarios(directory: Path) -> list[Scenario]:
    return [Scenario(path) for path in sorted(directory.glob("*.json"))]
