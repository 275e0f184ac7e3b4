"""Every metric of the list is exported by a lineage that runs, and a real Prometheus evaluates the alerts on it."""

import urllib.request
from pathlib import Path
from threading import Event, Thread

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ol0.observability import metrics
from ol0.observability.metrics import METRICS
from ol0.records import ServingState, Verdict
from ol0.sdk.metrics import RouterMetrics
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from ol0.stacks.ports import LOOPBACK
from ol0.supervisor.service_commands import SERVICES
from support.prometheus import RULES, firing, needs_prometheus, prometheus, rules_of, told
from testbed.lineages import Journal, bring_in, services
from testbed.waiting import wait_until

HABITS = UserHabits(rate_per_s=300.0)
FIRST_PORT = 19_100
"""Six in a row, below those that stacks draw from."""


def names_of(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


def asked(number: int) -> str:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{FIRST_PORT + number}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


@needs_prometheus
def test_prometheus_reads_every_service_and_evaluates_every_alert_quiet_while_all_is_well(
    stack: NativeStack, tmp_path: Path
) -> None:
    place = bring_in(stack, tmp_path, demo_settings(0, HABITS))
    with services(place, SERVICES, FIRST_PORT), prometheus(tmp_path / "prometheus", FIRST_PORT) as address:
        with Router.open(place.settings) as host:
            Users(host, place.split.stream, place.split.base, HABITS, 0).run(1_500, Event())
            wait_until(
                lambda: (
                    [target["health"] for target in told(address, "targets").get("activeTargets", [])]
                    == ["up"] * len(SERVICES)
                ),
                60,
            )
            wait_until(lambda: told(address, "query?query=ol0_decisions_total").get("result"), 60)
            wait_until(lambda: rules_of(address) and all(it["health"] == "ok" for it in rules_of(address).values()), 30)
            rules = rules_of(address)
        assert len(rules) == RULES.read_text().count("alert: ")
        assert firing(address) == set()
        assert [name for name, rule in rules.items() if rule.get("lastError")] == []
        # And when a record cannot be used, that is an alert at once.
        lineage = place.lineage()
        producer = lineage.clients.producer()
        producer.produce(lineage.topics.full("feedback.user"), b"no record", key=b"session")
        producer.flush(10)
        wait_until(lambda: rules_of(address).get("OL0DeadLetters", {}).get("state") == "firing", 60)


def test_a_running_lineage_exports_every_metric_of_the_list(stack: NativeStack, tmp_path: Path) -> None:
    place = bring_in(stack, tmp_path, demo_settings(0, HABITS))
    with services(place, SERVICES, FIRST_PORT), Journal(place.settings, "releases", "verdicts") as journal:
        journal.first(ServingState)
        with Router.open(place.settings) as host:
            users, stop = Users(host, place.split.stream, place.split.base, HABITS, 0), Event()
            asking = Thread(target=users.run, args=(100_000, stop))
            asking.start()
            try:
                # Given a candidate on trial, about which both gates said something
                journal.first(ServingState, lambda it: it.staged is not None, within_s=60)
                journal.first(Verdict, lambda it: it.stage > 0, within_s=60)
                # Then sooner or later all of them know all that the list says
                registry = CollectorRegistry()
                registry.register(RouterMetrics(host))
                wanted = {metric.name for metric in METRICS} - {metrics.SDK_DROPPED.name}

                def missing() -> set[str]:
                    found = names_of(generate_latest(registry).decode())
                    return wanted - found.union(*(names_of(asked(number)) for number in range(len(SERVICES))))

                wait_until(lambda: not missing(), 40)
            finally:
                stop.set()
                asking.join()
        assert host.dropped == 0
        owners = {name: names_of(asked(number)) for number, name in enumerate(SERVICES)}
    assert {name for name, found in owners.items() if "ol0_frozen" in found} == {"release"}
    assert {name for name, found in owners.items() if "ol0_open_windows" in found} == {"feedback"}
    assert {name for name, found in owners.items() if "ol0_verdicts" in found} == {"canary", "drift"}
    assert all("ol0_ready" in found for found in owners.values())
