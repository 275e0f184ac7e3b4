"""Dashboard and alerts speak of metrics that exist, and each alert has its line in operating.md."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ol0.observability.metrics import COUNTER, METRICS

ROOT = Path(__file__).parents[2]
PROMETHEUS, DASHBOARD = ROOT / "infra" / "prometheus", ROOT / "infra" / "grafana" / "ol0.json"
OPERATING = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
EXPORTED = {metric.name + ("_total" if metric.kind is COUNTER else ""): metric for metric in METRICS}
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def expressions() -> list[str]:
    panels = json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]
    shown = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return shown + re.findall(r"expr: (.*)", (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))


def test_every_metric_that_is_looked_at_is_in_the_list_by_its_exported_name() -> None:
    looked_at = {name for text in expressions() for name in re.findall(r"\bol0_\w+", text)}
    assert looked_at - EXPORTED.keys() == set()


def test_every_metric_of_the_list_is_on_the_dashboard_or_in_an_alert() -> None:
    shown = " ".join(expressions())
    assert [name for name in EXPORTED if not re.search(rf"\b{name}\b", shown)] == []


def test_labels_that_are_grouped_by_are_labels_of_the_metric() -> None:
    for text in expressions():
        for grouped, inner in re.findall(r"by \(([\w, ]+)\) \(([^()]*(?:\([^()]*\))?[^()]*)\)", text):
            named = {label for name in re.findall(r"\bol0_\w+", inner) for label in EXPORTED[name].labels}
            assert set(grouped.split(", ")) <= named, text


def test_every_alert_has_a_line_that_says_what_to_do() -> None:
    alerts = re.findall(r"alert: (\w+)", (PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))
    assert len(alerts) == len(set(alerts)) >= 10
    assert [alert for alert in alerts if f"| `{alert}` |" not in OPERATING] == []
    assert [name for name in re.findall(r"\| `(OL0\w+)` \|", OPERATING) if name not in alerts] == []


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [
        ("check", "rules", "alerts.yml"),
        ("check", "config", "prometheus.yml"),
        ("check", "config", "compose.yml"),
        ("test", "rules", "alerts_test.yml"),
    ],
    ids=" ".join,
)
def test_rules_are_valid_fire_when_their_fault_lasts_and_are_quiet_when_all_is_well(words: tuple[str, ...]) -> None:
    done = subprocess.run([str(PROMTOOL), *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
