"""docker-compose.yml and what its profile `observability` mounts fit each other; no image is needed to see that."""

from pathlib import Path
from typing import Any, Final

import pytest

from ol0.supervisor.service_commands import SERVICES

yaml = pytest.importorskip("yaml", reason="the extra `kubernetes` is not installed")

ROOT: Final = Path(__file__).parents[2]
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
WATCHING: Final = ("prometheus", "grafana")


def read(path: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def test_prometheus_scrapes_every_service_and_nothing_else() -> None:
    (job,) = read("infra/prometheus/compose.yml")["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert sorted(found["names"]) == sorted(SERVICES)
    assert set(found["names"]) <= set(COMPOSE["services"])
    assert found["port"] == 8080


def test_it_has_the_alerts_of_a_lineage_that_runs_without_containers() -> None:
    alone = read("infra/prometheus/prometheus.yml")
    assert read("infra/prometheus/compose.yml")["rule_files"] == alone["rule_files"]


@pytest.mark.parametrize("name", WATCHING)
def test_what_watches_is_reached_from_this_machine_alone_and_may_do_little(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["profiles"] == ["observability"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["mem_limit"]


@pytest.mark.parametrize("name", WATCHING)
def test_what_is_mounted_is_there(name: str) -> None:
    for mount in COMPOSE["services"][name]["volumes"]:
        source, target, *_ = mount.split(":")
        assert target.startswith("/")
        if source.startswith("./"):
            assert mount.endswith(":ro")
            assert (ROOT / source).exists(), source
        else:
            assert source in COMPOSE["volumes"]


def test_grafana_finds_its_dashboard_and_asks_the_prometheus_of_the_profile() -> None:
    (source,) = read("infra/grafana/provisioning/datasources/ol0.yml")["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = read("infra/grafana/provisioning/dashboards/ol0.yml")["providers"]
    grafana = COMPOSE["services"]["grafana"]
    dashboard = f"{provider['options']['path']}/ol0.json"
    assert f"./infra/grafana/ol0.json:{dashboard}:ro" in grafana["volumes"]
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == dashboard
