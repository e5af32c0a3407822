"""The part of the demo that asks a server."""

from __future__ import annotations

from pathlib import Path

from bench import demo, demo_service


def test_the_demo_shows_a_change_that_arrives_at_who_watches(tmp_path: Path) -> None:
    cities = demo.read_cities(20)
    lines = list(demo_service.show(str(tmp_path / "cities.rl"), demo.CITIES, cities))
    assert "a replica copied 20 records, and watches from there" in lines
    [arrived] = [line for line in lines if " arrived " in line]
    assert arrived.startswith(f"a change of {cities[0].name} ")
    assert arrived.endswith("with its change tag")
    assert lines[-1] == "stopped: every call had its answer"
