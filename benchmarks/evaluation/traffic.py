"""Traffic as ``ol0 demo`` simulates it, played in process: who answers, what is said of it, and when that is known."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from benchmarks.evaluation.contenders import OURS, Contender, Explorer, Make
from benchmarks.evaluation.worlds import Pool, World, vote, votes_on
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.learning.batch import Batch, join

PORTION: Final = 100
"""Decisions that are taken with the same weights: divides the delay and the marks of the curve."""
SETTLE_EVERY: Final = 10
"""Updates of 32 examples: a new controller serves after every 320."""
MARKS: Final = (1_000, 4_000, 20_000)
"""Decisions after which the learning curve is measured."""


@dataclass(frozen=True)
class Traffic:
    """What comes, and what is said of it. The numbers are those of the demo's users.

    Attributes:
        name: as it stands in the tables.
        decisions: how many; prompts are drawn with repeats.
        new_share: of prompts of new kinds.
        silent_share: of decisions of which nobody says anything.
        wrong_share: of votes that say the opposite.
        delay: decisions between one and its vote.
        coins: votes are tosses of a coin and say nothing of the answer.
    """

    name: str
    decisions: int = 20_000
    new_share: float = 0.85
    silent_share: float = 0.2
    wrong_share: float = 0.02
    delay: int = 300
    coins: bool = False

    def prompts(self, world: World, rng: np.random.Generator) -> Iterator[Pool]:
        """Portions, in the order in which they come."""
        both = world.new.followed_by(world.old)
        for start in range(0, self.decisions, PORTION):
            count = min(PORTION, self.decisions - start)
            is_new = rng.random(count) < self.new_share
            old = len(world.new) + rng.integers(0, len(world.old), count)
            yield both.take(np.where(is_new, rng.integers(0, len(world.new), count), old))

    def said(self, honest: Batch, rng: np.random.Generator) -> Batch:
        """The votes of those who vote, as they vote."""
        count = len(honest)
        wrong = rng.random(count) < self.wrong_share
        votes = rng.random(count) < 0.5 if self.coins else (honest.rewards > 0) ^ wrong
        voted = rng.random(count) >= self.silent_share
        return replace(honest.take(np.flatnonzero(voted)), rewards=votes[voted].astype(np.float32))


USUAL: Final = Traffic("as in the demo")
NULLS: Final = (Traffic("only old prompts", new_share=0.0), Traffic("votes that say nothing", coins=True))


@dataclass(frozen=True)
class Outcome:
    """What one contender came to, in points of success; tests are of prompts that nobody trained on.

    Attributes:
        curve: success on the new test, in the order of ``MARKS``.
        new, old: success on both tests at the end.
        online: mean success of what was served, with exploration; None for what was not played.
        regret: what the best expert for each prompt would have had more; likewise.
        cpu_s: of answering and learning, for 1,000 examples, with that of its processes; likewise.
    """

    curve: tuple[float, ...]
    new: float
    old: float
    online: float | None
    regret: float | None
    cpu_s: float | None


def play(world: World, make: Make, traffic: Traffic, seed: int) -> Outcome:
    """Serves, hears, learns: an update for every 32 examples, and every ten updates what was learnt serves."""
    player, rng = make(world, seed), np.random.default_rng(9_000 + seed)
    clock, inbox = Clock(player), Inbox(traffic.delay // PORTION)
    served, best, curve, done = [], [], [], 0
    for coming in traffic.prompts(world, rng):
        honest = clock.decide(coming, rng)
        served.append(coming.expected(honest.actions[:, 0]))
        best.append(coming.success.max(axis=1))
        inbox.put(traffic.said(honest, rng))
        while (batch := inbox.take(OURS.examples_per_update)) is not None:
            clock.learn(batch)
        done += len(coming)
        if done in MARKS:
            curve.append(points(player, world.new_test))
    online, highest = (100 * float(np.concatenate(part).mean()) for part in (served, best))
    old = points(player, world.old_test)
    return Outcome(tuple(curve), curve[-1], old, online, highest - online, clock.cpu_s / (clock.examples / 1_000))


def points(player: Contender, pool: Pool) -> float:
    """Greedy success."""
    return 100 * float(pool.expected(player.greedy(pool.features)).mean())


class Inbox:
    """Votes on their way, and those that have come and are not learnt from yet."""

    def __init__(self, delay: int) -> None:
        """Nothing said yet.

        Args:
            delay: portions between one and its votes.
        """
        self._delay = delay
        self._coming: list[Batch] = []
        self._here: Batch | None = None

    def put(self, votes: Batch) -> None:
        """Of one portion more."""
        self._coming.append(votes)
        if len(self._coming) > self._delay:
            due = self._coming.pop(0)
            self._here = due if self._here is None else join(self._here, due)

    def take(self, count: int) -> Batch | None:
        """The next so many; None while there are fewer."""
        here = self._here
        if here is None or len(here) < count:
            return None
        self._here = here.take(np.arange(count, len(here)))
        return here.take(np.arange(count))


class Clock:
    """Lets a contender answer and learn, and keeps count of its CPU time, with that of its process if it has one."""

    def __init__(self, player: Contender) -> None:
        self._player = player
        self.examples = 0
        self.cpu_s = 0.0

    def decide(self, prompts: Pool, rng: np.random.Generator) -> Batch:
        """Prompts as it serves them, with honest votes."""
        began = self._now_s()
        if isinstance(self._player, Explorer):
            probabilities = self._player.probabilities(prompts.features)
            self.cpu_s += self._now_s() - began
            taken = draw(probabilities, rng)
            return votes_on(prompts, taken, probabilities[np.arange(len(prompts)), taken], rng)
        greedy = self._player.greedy(prompts.features)
        self.cpu_s += self._now_s() - began
        return vote(prompts, greedy, rng)

    def learn(self, batch: Batch) -> None:
        """One update, and what was learnt serves now and then."""
        began = self._now_s()
        self._player.learn(batch)
        self.examples += len(batch)
        if self.examples // len(batch) % SETTLE_EVERY == 0:
            self._player.settle()
        self.cpu_s += self._now_s() - began

    def _now_s(self) -> float:
        return time.process_time() + float(getattr(self._player, "elsewhere_s", 0.0))


def draw(probabilities: Floats, rng: np.random.Generator) -> Actions:
    """One expert for each row of probabilities, shape (n, K) to (n,)."""
    sums = np.cumsum(probabilities, axis=1)
    return np.asarray((rng.random((len(sums), 1)) * sums[:, -1:] >= sums).sum(axis=1))
