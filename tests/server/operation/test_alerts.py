"""Alerts, the dashboard and the runbooks of server/operations speak of numbers that there are, with their labels."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from recordlayer.client.pb import admin_pb2
from recordlayer_server.config import Address, Hooks, Showing, Tls
from recordlayer_server.upkeep import upkeep
from tests.support.certificates import Authority
from tests.support.service import photos, run

FOLDER = Path(__file__).resolve().parents[3] / "server" / "operations"
if not FOLDER.is_dir():
    pytest.skip("server/operations is in the source tree only, and this runs without one", allow_module_level=True)

RULES = [rule for group in yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text())
RUNBOOKS = (FOLDER / "runbooks.md").read_text()
SCRAPED = {"instance", "job", "le"}
"""Labels that Prometheus adds, or that belong to a histogram."""
SUFFIXES = ("_total", "_bucket", "_count", "_sum")

Labels = dict[str, set[str]]


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Labels:
    """What a server shows that has all there is to show: names with their labels."""
    pair = Authority(tmp_path_factory.mktemp("ca")).issue("localhost")
    tls = Tls(pair.certificate, pair.key, None)
    found: Labels = {}

    async def scenario() -> None:
        async with photos(tls=tls, hooks=Hooks(), showing=Showing(metrics=Address("127.0.0.1", 0))) as (
            server,
            databases,
        ):
            metrics = server.around.metrics
            assert metrics is not None
            async with upkeep(databases, {}, metrics=metrics):
                for name, collector in metrics.registry._names_to_collectors.items():
                    found[name] = set(collector._labelnames)  # type: ignore[attr-defined]
            days = metrics.registry.get_sample_value("recordlayer_server_certificate_seconds_left")
            assert days is not None
            assert 0 < days < 400 * 86_400
            assert 0 <= (metrics.registry.get_sample_value("recordlayer_server_upkeep_age_seconds") or 0) < 60

    run(scenario())
    return found


def judged(expression: str, numbers: Labels) -> list[str]:
    """What is wrong with an expression: names that nobody shows, labels that they do not have."""
    names = set(re.findall(r"\brecordlayer_[a-z_]+\b", expression))
    wrong = [f"there is no {name}" for name in names if name not in numbers]
    known = set[str]().union(*(numbers.get(name, set()) for name in names)) | SCRAPED
    for name, matchers in re.findall(r"\b(recordlayer_[a-z_]+)\{([^}]*)\}", expression):
        labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - numbers.get(name, set()) - SCRAPED
        wrong += [f"{name} has no label {label}" for label in labels]
    for grouped in re.findall(r"\b(?:by|on|without)\s*\(([^)]*)\)", expression):
        wrong += [f"nothing has the label {label}" for label in re.split(r"\s*,\s*", grouped) if label not in known]
    for opening, closing in ("()", "{}", "[]"):
        if expression.count(opening) != expression.count(closing):
            wrong.append(f"{opening} and {closing} do not fit together")
    return wrong if names else ["it speaks of nothing"]


@pytest.mark.parametrize("rule", RULES, ids=[rule["alert"] for rule in RULES])
def test_an_alert_speaks_of_numbers_that_there_are(rule: dict[str, Any], numbers: Labels) -> None:
    assert judged(rule["expr"], numbers) == []
    assert rule.keys() <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert "for" not in rule or re.fullmatch(r"[0-9]+[smh]", rule["for"])
    used = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    names = re.findall(r"\brecordlayer_[a-z_]+\b", rule["expr"])
    assert used <= set[str]().union(*(numbers[name] for name in names)) | SCRAPED


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    pages = re.findall(r"^## (\w+)$", RUNBOOKS, re.MULTILINE)
    assert pages == [rule["alert"] for rule in RULES]
    assert [rule["annotations"]["runbook"] for rule in RULES] == [f"runbooks.md#{page.lower()}" for page in pages]
    methods = set(re.findall(r"`([A-Z][a-z]+[A-Z][A-Za-z]+)`", RUNBOOKS))
    admin = set(admin_pb2.DESCRIPTOR.services_by_name["Admin"].methods_by_name)
    assert methods - admin == set()


def test_every_panel_of_the_dashboard_shows_numbers_that_there_are(numbers: Labels) -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len(panels) > 20
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in panels:
        for target in panel["targets"]:
            assert judged(target["expr"], numbers) == [], panel["title"]
            shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", target["expr"]))))
            assert shown <= grouped, panel["title"]


def test_an_expression_of_what_is_not_there_is_found() -> None:
    numbers = {"recordlayer_x_total": {"code"}}
    assert judged('sum by (code) (rate(recordlayer_x_total{code="a"}[5m]))', numbers) == []
    for expression in (
        "recordlayer_y_total",
        'recordlayer_x_total{tenant="a"}',
        "sum by (tenant) (recordlayer_x_total)",
        "sum(recordlayer_x_total",
        "up == 0",
    ):
        assert len(judged(expression, numbers)) == 1, expression
