"""Lineages that a learner played on the prompts of a file, and traffic through them in arrays, without a broker."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.evaluation.contenders import OURS, Ours
from benchmarks.evaluation.worlds import EPSILON, Pool, from_file, vote
from ol0.controller.checkpoint import write_checkpoint
from ol0.controller.controller import Controller
from ol0.records import Arm, DecisionId, Digest, Mode, Outcome, Release, RewardParts, ServingState, Staged

DECISIONS: Final = 20_000
NEW_SHARE: Final = 0.85
SILENT: Final = 0.2
WRONG: Final = 0.02
HOLDBACK: Final = 0.1
STAGE: Final = 0.5
TRIAL: Final = 1_500
"""Decisions of a trial; ``PAUSE`` after it the next candidate comes, as in the demo."""
PAUSE: Final = 300
FIRST: Final = 1_200
LONGEST: Final = 5
GAP_MS: Final = 1_000

Numbers = NDArray[np.intp]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Lineage:
    """What was learnt on one split.

    Attributes:
        pool: n prompts, new ones first, then old ones.
        new: how many are new.
        base: its controller.
        starts: the first decision of every serving state, (s,).
        live: what live answers to every prompt, (s, n); at first that is the base's.
        staged: what the candidate answers, (s, n); -1 where there is none.
    """

    pool: Pool
    new: int
    base: Controller
    starts: Numbers
    live: Numbers
    staged: Numbers

    def states(self) -> Iterator[ServingState]:
        """What the evaluator would read, one for each serving state."""
        heads = write_checkpoint(self.base.manifest, self.base.base, self.base.learnt, self.base.mixer)
        base = Release(self.base.digest, 0, heads, ())
        for number, staged in enumerate(self.staged):
            trial = None if staged[0] < 0 else Staged(Release(digest(number), number, b"", ()), STAGE, 1)
            yield ServingState(number + 1, 0, Mode.APPLY, False, base, base, trial, number, 0, 0)

    def worthless(self) -> "Lineage":
        """The same, but whatever any of its controllers chooses for a prompt is worth the same."""
        chosen = np.zeros(self.pool.success.shape, bool)
        for answers in (*self.live, *self.staged):
            if answers[0] >= 0:
                chosen[np.arange(len(chosen)), answers] = True
        means = (self.pool.success * chosen).sum(axis=1) / chosen.sum(axis=1)
        success = np.where(chosen, means[:, None], self.pool.success).astype(np.float32)
        return replace(self, pool=Pool(self.pool.features, success, self.pool.kinds))


@dataclass(frozen=True)
class Traffic:
    """Who comes.

    Attributes:
        name: as it stands in the table.
        null: whether every choice is worth the same.
        population: known users.
        known: share of sessions of a known user.
        taste: deviation of the users' levels of satisfaction, in probability.
        retries: share of bad answers after which the same prompt is asked again.
    """

    name: str
    null: bool
    population: int = 4_000
    known: float = 0.7
    taste: float = 0.0
    retries: float = 0.0


@dataclass(frozen=True)
class Played:
    """One run, decision by decision (d of them, session after session).

    Attributes:
        session: number of its session, (d,), rising from 0.
        user: number of its user, (d,); -1 where none is known.
        state: place of its serving state, (d,).
        row: its prompt, (d,).
        treated, tried: the coins of its session, (d,): not holdback; the candidate where there is one.
        base, live, staged: greedy actions, (d,); staged is -1 where there is none.
        action: what was done, (d,).
        voted: whether somebody said something, (d,).
        reward: 0 or 1, voted or not, (d,).
        before, after: the mean reward that the holdback and the learnt policy have with this prompt and user, (d,).
    """

    session: Numbers
    user: Numbers
    state: Numbers
    row: Numbers
    treated: Flags
    tried: Flags
    base: Numbers
    live: Numbers
    staged: Numbers
    action: Numbers
    voted: Flags
    reward: Floats
    before: Floats
    after: Floats


def learn(path: Path | None, seed: int) -> Lineage:
    """Plays a lineage: the learner, with trials that always end well."""
    world = from_file(path, seed)
    rng, ours = np.random.default_rng(500 + seed), Ours(world, seed, OURS)
    old = world.old if len(world.old) else world.old_test
    pool, new = world.new.followed_by(old), len(world.new)
    live, none = world.base, np.full(len(pool), -1, np.intp)
    states, staged, due, step = [(0, _answers(live, pool), none)], None, FIRST, 0
    for at in range(0, DECISIONS, OURS.examples_per_update):
        coming = pool.take(_rows(OURS.examples_per_update, new, len(pool), rng))
        answers = live.greedy(coming.features)[:, 0]
        if staged is not None:
            tried = rng.random(len(answers)) < STAGE
            answers = np.where(tried, staged.greedy(coming.features)[:, 0], answers)
        voted = vote(coming, answers, rng)
        ours.learn(voted.take(np.flatnonzero(rng.random(len(voted)) >= SILENT)))
        if at >= due and staged is None:
            step, due = step + 1, at + TRIAL
            staged = ours.candidate(step)
            states.append((at, states[-1][1], _answers(staged, pool)))
        elif at >= due and staged is not None:
            live, staged, due = staged, None, at + PAUSE
            ours.serve(live)
            states.append((at, _answers(live, pool), none))
    starts, lives, trials = zip(*states, strict=True)
    return Lineage(pool, new, world.base, np.array(starts, np.intp), np.stack(lives), np.stack(trials))


def play(lineage: Lineage, traffic: Traffic, seed: int) -> Played:
    """One run, turn by turn of all sessions at once."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, LONGEST + 1, DECISIONS)
    lengths = lengths[: int(np.searchsorted(np.cumsum(lengths), DECISIONS)) + 1]
    count, first = len(lengths), np.concatenate([[0], np.cumsum(lengths)[:-1]])
    known = rng.random(count) < traffic.known
    user = np.where(known, rng.integers(0, traffic.population, count), -1)
    coins, tastes = rng.random(traffic.population), rng.normal(0, traffic.taste, traffic.population)
    treated = np.where(known, coins[user], rng.random(count)) >= HOLDBACK
    taste = np.where(known, tastes[user], 0.0)
    tried = rng.random(count) < STAGE / (1 - HOLDBACK)
    turns, row, again = [], np.zeros(count, np.intp), np.zeros(count, bool)
    for turn in range(LONGEST):
        row = np.where(again, row, _rows(count, lineage.new, len(lineage.pool), rng))
        state = np.searchsorted(lineage.starts, first + turn, side="right") - 1
        one = _turn(lineage, row, state, (treated, tried, taste), rng)
        again = one["voted"] & (one["reward"] == 0) & (rng.random(count) < traffic.retries)
        turns.append({**one, "session": np.arange(count), "user": user, "treated": treated, "tried": tried})
    places = np.concatenate([first + turn for turn in range(LONGEST)])
    there = np.concatenate([turn < lengths for turn in range(LONGEST)])
    order = np.flatnonzero(there)[np.argsort(places[there], kind="stable")]
    return Played(**{name: np.concatenate([turn[name] for turn in turns])[order] for name in turns[0]})


def _turn(
    lineage: Lineage, row: Numbers, state: Numbers, coins: tuple[Flags, Flags, Floats], rng: np.random.Generator
) -> dict[str, NDArray[np.generic]]:
    treated, tried, taste = coins
    base, live, staged = lineage.live[0, row], lineage.live[state, row], lineage.staged[state, row]
    on_trial = staged >= 0
    served = np.where(treated, np.where(on_trial & tried, staged, live), base)
    success = (1 - 2 * WRONG) * lineage.pool.success[row].astype(np.float64) + WRONG
    worth = np.clip(success + taste[:, None], 0, 1)
    count, choices = worth.shape
    action = np.where(rng.random(count) < EPSILON, rng.integers(0, choices, count), served)
    index, odds = np.arange(count), np.where(on_trial, STAGE / (1 - HOLDBACK), 0.0)
    learnt = (1 - odds) * worth[index, live] + odds * worth[index, np.where(on_trial, staged, live)]
    explored = EPSILON * worth.mean(axis=1)
    return {
        "state": state,
        "row": row,
        "base": base,
        "live": live,
        "staged": staged,
        "action": action,
        "voted": rng.random(count) >= SILENT,
        "reward": (rng.random(count) < worth[index, action]).astype(np.float64),
        "before": (1 - EPSILON) * worth[index, base] + explored,
        "after": (1 - EPSILON) * learnt + explored,
    }


def outcomes(lineage: Lineage, run: Played) -> Iterator[Outcome]:
    """The run as the evaluator would read it."""
    for place in range(len(run.session)):
        staged = int(run.staged[place])
        served = Arm.STAGED if staged >= 0 and run.tried[place] else Arm.LIVE
        yield Outcome(
            decision_id=DecisionId(str(place)),
            session_id=f"s{run.session[place]}",
            user=None if run.user[place] < 0 else f"user {run.user[place]}",
            time_ms=GAP_MS * place,
            digest=lineage.base.digest,
            arm=served if run.treated[place] else Arm.HOLDBACK,
            staged=None if staged < 0 else digest(int(run.state[place])),
            serving_sequence=int(run.state[place]) + 1,
            action=(int(run.action[place]),),
            propensity=(1.0,),
            greedy_base=(int(run.base[place]),),
            greedy_live=(int(run.live[place]),),
            greedy_staged=None if staged < 0 else (staged,),
            group=str(lineage.pool.kinds[run.row[place]]),
            sequence=place,
            reward=float(run.reward[place]) if run.voted[place] else None,
            parts=RewardParts(),
            window_end_ms=GAP_MS * place,
        )


def digest(number: int) -> Digest:
    """Of the candidate of the serving state in this place."""
    return Digest(f"{number:064x}")


def _answers(controller: Controller, pool: Pool) -> Numbers:
    return np.asarray(controller.greedy(pool.features)[:, 0], np.intp)


def _rows(count: int, new: int, prompts: int, rng: np.random.Generator) -> Numbers:
    is_new = rng.random(count) < NEW_SHARE
    return np.asarray(np.where(is_new, rng.integers(0, new, count), rng.integers(new, prompts, count)), np.intp)
