"""What a learner comes to through the gates: the lineage of ``ol0 demo`` in one process, without broker and store.

    python -m benchmarks.through_gates [--data FILE.npz] [--seeds 0-4] [--decisions 20000] [--verbose]

Learner, canary, drift, release and the SDK's checks as they are, with the demo's settings and habits: 85 % of the
prompts are of new kinds, a fifth of the decisions get no vote, one vote in fifty says the opposite, half of the
sessions are a candidate's while it is on trial. Event time runs at 180 decisions a second; what is said of a decision
is known 300 decisions later. A run takes some ten seconds of one core, where ``ol0 demo`` takes two minutes of two.

Printed are points of success on prompts that nobody trained on, of what serves at the end against the base.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import mean, stdev
from typing import Final

import numpy as np
import structlog

from benchmarks.lineage import EPSILON, LONGEST, START_MS, Lineage
from ol0.config import OnlineLearningConfig, SafetyConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.signing import OPEN
from ol0.learner.handler import LearnerHandler
from ol0.learning.examples import Example, batch_of
from ol0.learning.replay import LocalReplay
from ol0.operator.setup.base_from_labels import prepare, write_labelled_suite
from ol0.operator.setup.prompts import Prompts, Split, read_prompts, split_prompts
from ol0.records import Candidate, Outcome, Phase, Transition
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits

HABITS: Final = UserHabits()
DELAY: Final = 300
WINDOW_MS: Final = 1_500
CONFIG: Final = OnlineLearningConfig()


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes:
        base: success of the base on new prompts, in points.
        new, old: change of what serves at the end.
        online: success of what was served, with exploration.
        offers, releases: candidates, and those that went live.
    """

    base: float
    new: float
    old: float
    online: float
    offers: int
    releases: int


class Played:
    """One lineage from its base on, and the learner that learns from it."""

    def __init__(self, split: Split, folder: Path, seed: int) -> None:
        self._split, self._rng = split, Random(seed)
        warmup = prepare(split, epsilon=EPSILON, anchors=CONFIG.anchors, seed=seed)
        self._base = read_checkpoint(warmup.checkpoint)
        suite = folder / f"suite-{seed}.safetensors"
        write_labelled_suite(split.suite, suite)
        safety = SafetyConfig.model_validate(demo_settings(seed, HABITS)["safety"])
        asked, interval_ms = _asked(split, self._rng), round(1000 / HABITS.rate_per_s)
        self.lineage = Lineage(suite, OPEN, asked, seed, safety, interval_ms, WINDOW_MS)
        self.lineage.tell(warmup.candidate(START_MS))
        anchors = batch_of([Example.of(it.decision, it.reward) for it in warmup.anchors], self._base)
        self._replay = LocalReplay(CONFIG.replay_size, anchors, CONFIG.priority_epsilon)
        self._learner = LearnerHandler(self.lineage.state, {}, self._replay, CONFIG, seed=seed, clock=time.perf_counter)
        self._known = self.lineage.state

    def play(self, decisions: int) -> Result:
        """Sessions of one to five prompts, until so many were answered."""
        coming, voted, online = deque[tuple[Outcome, int]](), list[Example](), list[float]()
        prompts = self.lineage.prompts
        for outcome, row in self._decisions(decisions):
            online.append(float(prompts.success[row, outcome.action[0]]))
            coming.append((outcome, row))
            if len(coming) <= DELAY:
                continue
            heard, asked = coming.popleft()
            self.lineage.tell(heard)
            if heard.reward is not None:
                said = (prompts.features[asked], heard.action, heard.propensity, heard.reward, heard.session_id)
                voted.append(Example(*said))
            if len(voted) == CONFIG.examples_per_update:
                self._learn(voted, heard.window_end_ms)
                voted = []
        return self._result(100 * mean(online))

    def _decisions(self, count: int) -> Iterator[tuple[Outcome, int]]:
        done = 0
        while done < count:
            session = f"s{self._rng.getrandbits(64):016x}"
            for _ in range(self._rng.randint(1, LONGEST)):
                yield self.lineage.decide(session, HABITS.wrong_share)
                done += 1

    def _learn(self, voted: list[Example], now_ms: int) -> None:
        self._replay.add(batch_of(voted, self._base), now_ms)
        if self.lineage.state is not self._known:
            self._known = self.lineage.state
            self._learner.handle(self._known)
        while self._learner.train():
            pass
        for record in self._learner.offer():
            if isinstance(record, Candidate):
                self.lineage.tell(record)

    def _result(self, online: float) -> Result:
        live, split = read_checkpoint(self.lineage.state.live.heads), self._split
        new, old = (_points(live, part) - _points(self._base, part) for part in (split.new_test, split.old_test))
        steps = [one for one in self.lineage.said if isinstance(one, Transition)]
        releases = sum(one.to_phase is Phase.LIVE and one.digest != self._base.digest for one in steps)
        return Result(_points(self._base, split.new_test), new, old, online, self._learner.offers, releases)


def _asked(split: Split, rng: Random) -> Prompts:
    """New prompts and old ones that nobody trained on, as often as the demo's users ask them."""
    new, old = split.stream, split.old_test
    count = round(len(new) * (1 / HABITS.new_share - 1))
    some = old.rows(np.array([rng.randrange(len(old)) for _ in range(count)], np.intp))
    return Prompts(
        np.concatenate([new.features, some.features]),
        np.concatenate([new.success, some.success]),
        np.concatenate([new.groups, some.groups]),
    )


def _points(controller: Controller, prompts: Prompts) -> float:
    return 100 * prompts.expected_success(controller.greedy(prompts.features)[:, 0])


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FILE", help="labelled prompts; default: Debian packages")
    parser.add_argument("--seeds", default="0-4", help="first and last")
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--verbose", action="store_true", help="every step of every checkpoint")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    first, last = map(int, arguments.seeds.split("-"))
    prompts, is_old = read_prompts(arguments.data)
    results = []
    for seed in range(first, last + 1):
        with tempfile.TemporaryDirectory() as folder:
            played = Played(split_prompts(prompts, is_old, seed), Path(folder), seed)
            results.append(found := played.play(arguments.decisions))
        if arguments.verbose:
            for one in played.lineage.said:
                if isinstance(one, Transition):
                    sys.stdout.write(f"  {one.digest[:8]} {one.to_phase}: {one.cause}\n")
        sys.stdout.write(f"seed {seed}: base {found.base:.1f}, {_words(found)}\n")
        sys.stdout.flush()
    spread = {
        name: stdev([getattr(it, name) for it in results]) if len(results) > 1 else 0.0 for name in ("new", "old")
    }
    sys.stdout.write(
        f"mean of {len(results)}: new {mean(it.new for it in results):+.2f} ± {spread['new']:.2f}, "
        f"old {mean(it.old for it in results):+.2f} ± {spread['old']:.2f}, "
        f"online {mean(it.online for it in results):.2f}, {mean(it.releases for it in results):.1f} of "
        f"{mean(it.offers for it in results):.1f} candidates released\n"
    )


def _words(found: Result) -> str:
    return (
        f"new {found.new:+.2f}, old {found.old:+.2f}, online {found.online:.2f}, {found.releases} of {found.offers} "
        "candidates released"
    )


if __name__ == "__main__":
    main()
