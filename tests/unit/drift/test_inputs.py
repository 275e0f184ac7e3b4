import json
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from ol0.config import SafetyConfig
from ol0.controller.heads import Floats
from ol0.drift.handler import DriftMonitor
from ol0.drift.inputs import AGAIN_MS, FIRST, Finding, InputWatch, Turn
from ol0.drift.space import Space
from ol0.records import Decision, Gate, Judgement, Verdict
from testbed.worlds import make_base, make_candidate, make_suite, serving_state
from unit.drift.prompt_space import CHANGES, DIMENSION, Change, anchors, decisions, prompts, slowly_changing, traffic
from unit.statistics.stored import dumped, restored

SPACE = Space(anchors())
QUIET = 400  # prompts before a change


def findings(watch: InputWatch, made: Iterable[Decision]) -> list[Finding]:
    return [finding for one in made if (finding := watch.take(one)) is not None]


def changed(change: Change, count: int = 200) -> Floats:
    return change(traffic(count, seed=3))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_the_space_is_found_within_a_hundred_prompts(change: Change) -> None:
    watch = InputWatch(SPACE)
    assert findings(watch, decisions(traffic(QUIET))) == []
    (finding,) = findings(watch, decisions(changed(change, 100), start=QUIET))
    assert (finding.turn, watch.away) == (Turn.AWAY, True)
    assert finding.share > 0.8
    since_s = (finding.since_ms - next(decisions(traffic(1))).time_ms) / 1_000
    assert QUIET - 5 <= since_s <= QUIET + 10
    assert "inputs have left the anchors" in finding.text
    assert "embedder" in finding.text


def test_every_change_is_found_and_no_wandering_mix_of_kinds_is_called_one() -> None:
    alarms, waits = 0, []
    for seed in range(30):
        mix = slowly_changing(500, seed)
        alarms += any(one.turn is Turn.AWAY for one in findings(InputWatch(SPACE), decisions(mix)))
        watch = InputWatch(SPACE)
        mix[300:] = CHANGES["another embedder"](mix[300:])
        waits.append(next(n for n, one in enumerate(decisions(mix)) if watch.take(one) is not None) - 300)
    assert alarms == 0
    assert min(waits) > 0
    assert max(waits) < 150


def test_kinds_that_nobody_saw_before_are_no_change_of_the_space() -> None:
    rng = np.random.default_rng(4)
    watch = InputWatch(SPACE)
    assert findings(watch, decisions(traffic(QUIET, new_share=0.0))) == []
    for kind in range(4, 12):
        assert findings(watch, decisions(prompts(np.full(150, kind), rng))) == []


def test_inputs_that_come_back_are_told_and_what_lasts_is_repeated_once_a_day() -> None:
    watch, rotate = InputWatch(SPACE), CHANGES["another embedder"]
    findings(watch, decisions(traffic(QUIET)))
    (away,) = findings(watch, decisions(rotate(traffic(200)), start=QUIET))
    day = [replace(one, time_ms=one.time_ms + AGAIN_MS) for one in decisions(rotate(traffic(50)), start=QUIET)]
    assert findings(watch, day) == [away]
    (back,) = findings(watch, decisions(traffic(200), start=QUIET + 200))
    assert (back.turn, watch.away) == (Turn.BACK, False)
    (again,) = findings(watch, decisions(rotate(traffic(200)), start=2 * QUIET))
    assert again.turn is Turn.AWAY


def test_inputs_that_were_never_like_the_anchors_are_told_once_and_raise_no_alarm() -> None:
    watch = InputWatch(SPACE)
    (finding,) = findings(watch, decisions(CHANGES["another embedder"](traffic(3 * FIRST))))
    assert (finding.turn, finding.looked_at, watch.away) == (Turn.FROM_THE_START, FIRST, False)
    assert "canary suite" in finding.text


def test_new_kinds_far_off_from_the_start_leave_room_for_less() -> None:
    # Given traffic of which half is nothing like the anchors, which nobody may call a change
    half = np.arange(800) % 2 == 0
    mixed = np.where(half[:, None], CHANGES["another embedder"](traffic(800)), traffic(800))
    watch = InputWatch(SPACE)
    assert findings(watch, decisions(mixed)) == []
    assert 0.6 < watch.level < 0.9
    # When all of it is, then that is one
    (finding,) = findings(watch, decisions(CHANGES["another embedder"](traffic(300)), start=800))
    assert finding.turn is Turn.AWAY


def test_one_session_that_goes_on_and_on_is_looked_at_once() -> None:
    watch = InputWatch(SPACE)
    findings(watch, decisions(traffic(QUIET)))
    strange = decisions(CHANGES["another embedder"](traffic(500)))
    assert findings(watch, (replace(one, session_id="one") for one in strange)) == []


def test_features_of_another_width_are_left_to_those_who_refuse_them() -> None:
    watch = InputWatch(SPACE)
    assert findings(watch, decisions(np.ones((500, DIMENSION + 1), np.float32))) == []


@pytest.mark.parametrize("after", [0, 100, FIRST + 50, QUIET + 20, QUIET + 80])
def test_a_restored_watch_finds_the_same(after: int) -> None:
    made = list(decisions(np.concatenate([traffic(QUIET), changed(CHANGES["a dead block"]), traffic(QUIET)])))
    one = InputWatch(SPACE)
    before = findings(one, made[:after])
    two = InputWatch(SPACE, restored(one.state))
    found = findings(one, made[after:])
    assert findings(two, made[after:]) == found
    assert dumped(two.state) == dumped(one.state)
    assert [finding.turn for finding in before + found] == [Turn.AWAY, Turn.BACK]


def test_with_another_suite_the_watch_begins_anew() -> None:
    watch = InputWatch(SPACE)
    findings(watch, decisions(traffic(QUIET)))
    other = Space(anchors(80))
    assert dumped(InputWatch(other, watch.state).state) == dumped(InputWatch(other).state)


def test_few_values_and_few_anchors_tell_nothing_of_nearness() -> None:
    one_hot = np.eye(DIMENSION, dtype=np.float32)[np.arange(200) % DIMENSION]
    for features in (one_hot, anchors(10), anchors(1)):
        space = Space(features)
        assert space.limit is None
        still = np.zeros(DIMENSION, np.uint8)
        assert space.strange(-features[0], still) is None
        assert space.strange(100 * features[0], still) is not None


def monitor() -> DriftMonitor:
    suite = make_suite(prompts=160)
    return DriftMonitor(replace(suite, features=anchors()), SafetyConfig(), 0.1)


def test_the_monitor_holds_what_serves_dated_when_inputs_left_and_says_so_in_its_log() -> None:
    base = make_base()
    live = make_candidate(base)
    drift = monitor()
    made = list(decisions(np.concatenate([traffic(QUIET), changed(CHANGES["another embedder"])])))
    assert [drift.handle(one) for one in made] == [[]] * len(made), "nothing serves yet"
    drift.handle(serving_state(base, live=live))
    with capture_logs() as logs:
        (verdict,) = [verdict for one in made for verdict in drift.handle(one)]
    assert isinstance(verdict, Verdict)
    assert (verdict.digest, verdict.base, verdict.gate) == (live.digest, base.digest, Gate.DRIFT)
    assert (verdict.judgement, verdict.stage) == (Judgement.HOLD, 3)
    (reason,) = verdict.reasons
    assert reason.check == "inputs"
    assert reason.figure is not None
    assert reason.figure > 0.8
    assert (reason.bound, reason.threshold) == (0.5, 0.5)
    assert abs(verdict.time_ms - made[QUIET].time_ms) <= 10_000
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert logs[0]["event"] == reason.text


def test_a_restored_monitor_goes_on_and_one_of_an_earlier_version_begins_to_look() -> None:
    base, made = make_base(), list(decisions(np.concatenate([traffic(QUIET), changed(CHANGES["a dead block"])])))
    drift = monitor()
    drift.handle(serving_state(base))
    assert [verdict for one in made[: QUIET + 10] for verdict in drift.handle(one)] == []
    restored, older = monitor(), monitor()
    restored.restore(drift.snapshot())
    found = [[verdict for one in made[QUIET + 10 :] for verdict in each.handle(one)] for each in (drift, restored)]
    assert found[0] == found[1] != []
    older.restore(
        json.dumps({k: v for k, v in json.loads(drift.snapshot()).items() if k not in {"serving", "inputs"}}).encode()
    )
    assert [verdict for one in made for verdict in older.handle(one)] == []
    older.handle(serving_state(base, sequence=9))
    assert len([verdict for one in made for verdict in older.handle(one)]) == 1
