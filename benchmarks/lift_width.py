"""How wide is the evaluator's interval of the lift, and does it hold? Before and after prompts were paired.

The learner plays a few lineages on the prompts of a data file: candidates that are staged at half of the sessions and
then go live. Traffic of the demo's kind runs through each again and again, without a broker: sessions of one to five
prompts, seven in ten of a known user, a tenth holdback drawn by user, a fifth of the decisions silent, votes with 2 %
errors. *Real*: the file's rewards. *Null*: the same lineages, but whatever base and learnt policies choose for a prompt
is worth the same, so that every lift is 0 exactly. *Tastes*: the null with 300 users who all come back, each with a
level of satisfaction of their own. *Retries*: the null where half of the bad answers are asked for again.

    python -m benchmarks.lift_width [--data FILE.npz] [--runs 500] [--lineages 5]

Sessions are valued by the evaluator's code and bet on in arrays; the first run of every kind goes through the evaluator
itself, too, which must say the same. An interval is looked at every 500 sessions; a run is *missed* when any look loses
the true lift of the sessions so far, and *false* when any look says of a lift of 0 that it is above 0.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.evaluation.worlds import EPSILON
from benchmarks.lift_traffic import (
    GAP_MS,
    HOLDBACK,
    STAGE,
    Floats,
    Lineage,
    Numbers,
    Played,
    Traffic,
    learn,
    outcomes,
    play,
)
from ol0.evaluator.lift import SessionLift
from ol0.evaluator.served import Served
from ol0.evaluator.votes import vote_of
from ol0.statistics.betting import BetGrid, log_threshold, mixture
from ol0.statistics.clusters import Clusters, bucket_of
from ol0.statistics.expected_reward import Cell
from ol0.statistics.lift import CENTRE_HIGH, CENTRE_LOW, LiftConfig
from ol0.statistics.paired_lift import BETS, Choice, PairedLift, PairedReward, largest_gain, lift_grid

LOOK_EVERY: Final = 500
ALPHA: Final = 0.05
GUARD: Final = ALPHA / 10
TARGET: Final = 0.01
TRAFFIC: Final = (
    Traffic("real", null=False),
    Traffic("null", null=True),
    Traffic("tastes", null=True, population=300, known=1.0, taste=0.25),
    Traffic("retries", null=True, retries=0.5),
)


@dataclass(frozen=True)
class Bets:
    """An interval as the evaluator makes it, from arrays; see ``LiftCapital``.

    Attributes:
        lifts, below, above: see there.
        bets: the same.
        alpha: level.
    """

    lifts: Floats
    below: Floats
    above: Floats
    bets: BetGrid
    alpha: float

    def fallen(self, place: int, side: int, says: Floats, effect: float) -> bool:
        """Whether the lift in this place has fallen, from below (0) or from above (1), after these (d, c), (n, 2)."""
        reach = self.below[place] if side == 0 else -self.above[place]
        gains = (says[:, 0] - self.lifts[place] * says[:, 1]) / reach
        wealth = np.array([np.log1p(bet * gains).sum() for bet in self.bets.fractions()])
        return bool(mixture(wealth / effect) >= log_threshold(self.alpha / 2))

    def interval(self, says: Floats, effect: float) -> tuple[float, float]:
        """Its ends; infinite where there is none."""
        last = len(self.lifts) - 1
        low = self._last_fallen(0, 0, last, says, effect)
        high = self._last_fallen(1, last, 0, says, effect)
        return (
            -np.inf if low is None else float(self.lifts[low]),
            np.inf if high is None else float(self.lifts[high]),
        )

    def _last_fallen(self, side: int, fallen: int, standing: int, says: Floats, effect: float) -> int | None:
        if not self.fallen(fallen, side, says, effect):
            return None
        while abs(standing - fallen) > 1:
            middle = (fallen + standing) // 2
            if self.fallen(middle, side, says, effect):
                fallen = middle
            else:
                standing = middle
        return fallen


@dataclass(frozen=True)
class Run:
    """How one run ended; each pair is before and after.

    Attributes:
        truth: the lift of its sessions.
        missed: whether any look lost it.
        false: whether any look said of a lift of 0 that it is above 0.
        ends: the intervals at the end.
        proven: whether the end is called proven.
        effect: the design effect at the end.
    """

    truth: float
    missed: tuple[bool, ...]
    false: tuple[bool, ...]
    ends: tuple[tuple[float, float], ...]
    proven: tuple[bool, ...]
    effect: float


def before() -> Bets:
    """The comparison of whole sessions."""
    config = LiftConfig(smallest_share=HOLDBACK / 2)
    lifts = config.grid()
    below = (1 + lifts) * max(CENTRE_HIGH, 1 - CENTRE_LOW) / config.smallest_share
    above = np.maximum((1 + lifts) * CENTRE_HIGH, 1 - (1 + lifts) * CENTRE_LOW) / config.smallest_share
    return Bets(lifts, below, above, config.bet_grid(), ALPHA)


def after() -> Bets:
    """The comparison of prompts."""
    lifts = lift_grid()
    reach = largest_gain(lifts, HOLDBACK)
    return Bets(lifts, reach, reach, BETS, ALPHA - GUARD)


def session_values(run: Played) -> tuple[Floats, Numbers, Floats]:
    """(d, c) of every voted session before, (n, 2); its number, (n,); its mean rewards with both arms, (n, 2)."""
    votes = np.bincount(run.session, run.voted)
    there = np.flatnonzero(votes)
    values, *truths = (
        (np.bincount(run.session, run.voted * what) / np.maximum(votes, 1))[there]
        for what in (run.reward, run.before, run.after)
    )
    treated = run.treated[np.searchsorted(run.session, there)]
    weights = np.where(treated, 0.0, 1 / HOLDBACK)
    earlier = [np.concatenate([[0.0], np.cumsum(it)[:-1]]) for it in (weights, weights * values)]
    centre = np.clip((0.5 + earlier[1]) / (1 + earlier[0]), CENTRE_LOW, CENTRE_HIGH)
    share = np.where(treated, 1 - HOLDBACK, HOLDBACK)
    surprise = (values - centre) / share
    says = np.where(treated, [surprise, centre / share], [-surprise, surprise]).T
    return says, there, np.stack(truths, axis=1)


def paired_values(lineage: Lineage, run: Played, sessions: Numbers) -> Floats:
    """(d, c) of those sessions now, (n, 2). Where both arms do the same, d is 0 and c the reward."""
    lift, starts = PairedLift(HOLDBACK), np.searchsorted(run.session, [*sessions, run.session[-1] + 1])
    agrees = (run.live == run.base) & ((run.staged == run.base) | (run.staged < 0))
    differs = run.voted & ~agrees
    choices = lineage.pool.success.shape[1]
    says = np.zeros((len(sessions), 2))
    for place, number in enumerate(sessions):
        start = starts[place]
        stop = int(np.searchsorted(run.session, number, side="right"))
        if not differs[start:stop].any():
            says[place] = 0.0, run.reward[start:stop][run.voted[start:stop]].mean()
            continue
        voted = [it for it in range(start, stop) if run.voted[it]]
        rewards = [_paired(lineage, run, it, choices) if differs[it] else PairedReward(run.reward[it]) for it in voted]
        says[place] = lift.take(rewards)
    return says


def _paired(lineage: Lineage, run: Played, place: int, choices: int) -> PairedReward:
    base, live, staged = int(run.base[place]), int(run.live[place]), int(run.staged[place])
    odds = 0.0 if staged < 0 else STAGE / (1 - HOLDBACK)
    staged = live if staged < 0 else staged
    group = str(lineage.pool.kinds[run.row[place]])

    def choice(action: int) -> Choice:
        chances = [(1 - EPSILON) * (action == greedy) + EPSILON / choices for greedy in (base, live, staged)]
        cell = Cell("base" if action == base else "learnt", group, str(action))
        return Choice(cell, chances[0], (1 - odds) * chances[1] + odds * chances[2])

    taken, known = choice(int(run.action[place])), [choice(action) for action in dict.fromkeys((base, live, staged))]
    where = known.index(taken) if taken in known else None
    return PairedReward(float(run.reward[place]), taken.control, taken.treated, where, tuple(known))


def judge(lineage: Lineage, traffic: Traffic, run: Played) -> Run:
    """Both intervals at every look."""
    says, sessions, truths = session_values(run)
    both = (before(), says), (after(), paired_values(lineage, run, sessions))
    first = np.searchsorted(run.session, sessions)
    units = [bucket_of(f"user {run.user[it]}" if run.user[it] >= 0 else f"s{run.session[it]}") for it in first]
    missed, false, effect, clusters, done = [False, False], [False, False], 1.0, Clusters(), 0
    for count in [*range(LOOK_EVERY, len(sessions), LOOK_EVERY), len(sessions)]:
        sums = truths[:count].sum(axis=0)
        truth = sums[1] / sums[0] - 1
        for place in range(done, count):
            clusters.add(units[place], both[1][1][place, 0])
        done, effect = count, clusters.effect
        for which, (bets, values) in enumerate(both):
            discount = effect if which else 1.0
            missed[which] |= _misses(bets, values[:count], truth, discount)
            false[which] |= traffic.null and bets.fallen(
                int(np.searchsorted(bets.lifts, 0)), 0, values[:count], discount
            )
    ends = tuple(bets.interval(values, effect if which else 1.0) for which, (bets, values) in enumerate(both))
    estimates = [values[:, 0].sum() / values[:, 1].sum() for _, values in both]
    proven = tuple(low > 0 and estimate >= TARGET for (low, _), estimate in zip(ends, estimates, strict=True))
    return Run(float(truth), tuple(missed), tuple(false), ends, proven, effect)


def _misses(bets: Bets, says: Floats, truth: float, effect: float) -> bool:
    """Whether the interval, whose ends are lifts of the grid, lies beside the truth."""
    above = int(np.searchsorted(bets.lifts, truth, side="right"))  # the first lift above it; one before is at most it
    low = above < len(bets.lifts) and bets.fallen(above, 0, says, effect)
    below = int(np.searchsorted(bets.lifts, truth, side="left")) - 1
    return low or (below >= 0 and bets.fallen(below, 1, says, effect))


def through_the_evaluator(lineage: Lineage, run: Played) -> tuple[tuple[float | None, float | None], str | None]:
    """The interval that the evaluator shows in the end, and whether it found that prompts depend on the arm."""
    served, lift = Served(), SessionLift(HOLDBACK, GAP_MS * 100, GUARD, 0.2)
    for state in lineage.states():
        served.take(state)
    for outcome in outcomes(lineage, run):
        lift.add(outcome, vote_of(outcome, served, HOLDBACK), 0)
    lift.close_due(GAP_MS * (len(run.session) + 1_000))
    figures = lift.figures(ALPHA)
    return (figures.low, figures.high), lift.unpaired


def line(name: str, runs: list[Run]) -> str:
    """One row of the table."""
    count = len(runs)
    shares = [
        f"{100 * sum(getattr(run, what)[which] for run in runs) / count:.1f}"
        for what in ("missed", "false", "proven")
        for which in (0, 1)
    ]
    halves = np.array([[(high - low) / 2 for low, high in run.ends] for run in runs])
    finite = halves[np.isfinite(halves).all(axis=1)]
    widths = [f"{100 * it:.1f}" for it in np.median(halves, axis=0)]
    ratio = f"{float(np.median(finite[:, 1] / finite[:, 0])):.2f}" if len(finite) else "-"
    truth, effect = (100 * float(np.mean([run.truth for run in runs])), float(np.mean([run.effect for run in runs])))
    return f"| {' | '.join([name, str(count), f'{truth:+.1f}', *widths, ratio, *shares, f'{effect:.2f}'])} |"


def main() -> None:
    """Reads the arguments, plays, prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="prompts; those of the demo where there is none")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--lineages", type=int, default=5)
    parser.add_argument("--only", choices=[traffic.name for traffic in TRAFFIC], action="append")
    arguments = parser.parse_args()
    name = arguments.data.stem if arguments.data else "the demo's prompts"
    lineages = [learn(arguments.data, seed) for seed in range(arguments.lineages)]
    for traffic in TRAFFIC:
        if arguments.only and traffic.name not in arguments.only:
            continue
        runs = []
        for seed in range(arguments.runs):
            lineage = lineages[seed % len(lineages)]
            lineage = lineage.worthless() if traffic.null else lineage
            run = play(lineage, traffic, seed)
            runs.append(judge(lineage, traffic, run))
            if not seed:
                (low, high), unpaired = through_the_evaluator(lineage, run)
                said = (-np.inf if low is None else low, np.inf if high is None else high)
                sys.stderr.write(f"  the evaluator says {said}, unpaired: {unpaired}; in arrays {runs[0].ends[1]}\n")
        sys.stdout.write(line(f"{name}, {traffic.name}", runs) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
