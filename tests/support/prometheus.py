"""A real Prometheus that scrapes six services every second and evaluates rules on them."""

import json
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ol0.stacks.ports import LOOPBACK, free_ports
from ol0.supervisor.guard import GuardedProcess
from ol0.supervisor.service_commands import SERVICES

RULES = Path(__file__).parents[2] / "infra" / "prometheus" / "alerts.yml"
PROMETHEUS = shutil.which("prometheus")
needs_prometheus = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: prometheus)")


@contextmanager
def prometheus(folder: Path, first_port: int, rules: Path = RULES) -> Iterator[str]:
    """Address of a server for services on this port and those after it."""
    folder.mkdir()
    (port,) = free_ports(1)
    targets = [f"{LOOPBACK}:{first_port + number}" for number in range(len(SERVICES))]
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [{"job_name": "ol0", "static_configs": [{"targets": targets}]}],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    address = f"{LOOPBACK}:{port}"
    options = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    process = GuardedProcess.start(
        [str(PROMETHEUS), *options, f"--web.listen-address={address}"], log=folder / "prometheus.log"
    )
    try:
        yield f"http://{address}/api/v1"
    finally:
        process.stop(5)


def told(address: str, question: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"{address}/{question}", timeout=5) as answer:  # noqa: S310 - our own server
            return dict(json.load(answer)["data"])
    except (urllib.error.URLError, ConnectionError):  # it starts
        return {}


def rules_of(address: str) -> dict[str, dict[str, Any]]:
    return {rule["name"]: rule for group in told(address, "rules").get("groups", []) for rule in group["rules"]}


def firing(address: str) -> set[str]:
    return {name for name, rule in rules_of(address).items() if rule["state"] == "firing"}
