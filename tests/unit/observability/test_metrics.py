import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from ol0.errors import StoreError
from ol0.observability import metrics
from ol0.observability.loop_stats import LoopStats
from ol0.observability.metrics import METRICS, Board, Figure, Kind
from ol0.observability.rounds import ASK_S, Rounds


def shown(board: Board) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(board)
    lines = generate_latest(registry).decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


def test_every_metric_has_a_name_of_its_own_and_says_what_it_is() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) > 40
    for metric in METRICS:
        assert re.fullmatch(r"ol0_[a-z_]+", metric.name)
        assert not metric.name.endswith("_total")  # Prometheus gives that to counters
        assert metric.tells


def test_counters_grow_and_gauges_are_replaced_with_all_their_labels() -> None:
    board = Board()
    for _ in range(2):
        board.add([Figure(metrics.RECORDS, 3, ("canary",))])
    board.put(Figure(metrics.CHECK_FIGURE, 0.1, ("canary", check)) for check in ("kl", "harm"))
    board.put([Figure(metrics.CHECK_FIGURE, 0.3, ("canary", "kl"))])
    assert shown(board) == {
        'ol0_records_total{service="canary"}': 6.0,
        'ol0_check_figure{check="kl",service="canary"}': 0.3,
    }


def test_a_round_is_a_sign_of_life_and_is_counted() -> None:
    board = Board()
    rounds = Rounds("drift", board=board)
    rounds(LoopStats(5, 2, 1, 0.25, forged=1, missed=4, dropped=3, lag=17))
    rounds(LoopStats(5, 0, 0, 0.25, lag=0))
    found = shown(board)
    assert found['ol0_rounds_total{service="drift"}'] == 2
    assert found['ol0_round_seconds_total{service="drift"}'] == 0.5
    assert found['ol0_records_total{service="drift"}'] == 10
    assert found['ol0_dead_letters_total{service="drift"}'] == 2
    assert found['ol0_forged_total{service="drift"}'] == 1
    assert found['ol0_missed_records_total{service="drift"}'] == 4
    assert found['ol0_refused_outputs_total{service="drift"}'] == 3
    assert found['ol0_lag_records{service="drift"}'] == 0


def test_sources_are_asked_every_few_seconds_and_a_failure_leaves_what_was_known() -> None:
    now, asked = [0.0], [0]
    board = Board()
    rounds = Rounds("feedback", board=board, clock=lambda: now[0])

    def source() -> list[Figure]:
        asked[0] += 1
        if asked[0] == 2:
            raise StoreError("away")
        return [Figure(metrics.OPEN, asked[0])]

    rounds.ask(source)
    idle = LoopStats(0, 0, 0, 0.0)
    rounds(idle)
    rounds(idle)
    assert asked[0] == 1
    for passed, expected in ((ASK_S, 1.0), (2 * ASK_S, 3.0)):
        now[0] = passed
        rounds(idle)
        assert shown(board)["ol0_open_windows"] == expected


def test_labels_have_the_names_that_the_list_gives_them() -> None:
    with pytest.raises(AssertionError, match=r"ol0_lift has the labels \('bound',\), not \(\)"):
        Board().put([Figure(metrics.LIFT, 0.1)])


def test_counters_and_gauges_are_told_apart() -> None:
    assert {metric.kind for metric in METRICS} == {Kind.COUNTER, Kind.GAUGE}
