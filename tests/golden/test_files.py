"""Nothing in a golden file goes by unseen."""

from __future__ import annotations

from tests.golden.scenario import OPERATIONS, Scenario

KNOWN = {
    "scenario", "kind", "description", "recorded_from", "options", "metadata_versions", "steps", "final",
    "not_reproducible", "scope_prefix", "store_prefix", "metadata", "file_descriptor_set", "record_type", "records",
    "expressions", "scans", "paths", "current_metadata_text", "store_prefix_length", "operations",
}  # fmt: skip


def test_every_field_and_every_operation_is_known(scenario: Scenario, compared) -> None:
    assert set(scenario.data) <= KNOWN
    operations = [operation["op"] for step in scenario.steps for operation in step["operations"]]
    assert set(operations) <= OPERATIONS
    compared("files read")


def test_the_steps_of_a_file_lead_to_its_end(scenario: Scenario, compared) -> None:
    state: dict[str, object] = {}
    for step in scenario.steps:
        for key in step["cleared"]:
            del state[key]
        state.update((key, value) for key, value in step["set"])
    if "final" in scenario.data:
        assert sorted(state.items()) == [(key, value) for key, value in scenario.data["final"]]
        compared("steps replayed", len(scenario.steps))
