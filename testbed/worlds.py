"""Small worlds for tests of gates, releases and reports: controllers that are right or wrong on purpose, and records.

A prompt is one of eight *kinds*, its features the unit vector of that kind; the good expert of kind k is k modulo 4.
The base masters the old kinds 0 to 3 and sends the new kinds 4 to 7 to an expert that is wrong. A candidate is made by
saying, kind by kind, which expert it takes: so its quality is known by construction.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from random import Random

import numpy as np

from ol0.controller.checkpoint import digest_of, read_checkpoint, write_checkpoint
from ol0.controller.controller import Controller, Manifest
from ol0.controller.exploration import propensity
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.numbering import new_prefix, numbered_id
from ol0.controller.suite import KINDS, Suite, known_good
from ol0.records import (
    Action,
    Arm,
    Candidate,
    DecisionId,
    Digest,
    Mode,
    Outcome,
    Release,
    RewardParts,
    ServingState,
    Staged,
)

KIND_COUNT = 8
EXPERTS = 4
OLD = range(4)
NEW = range(4, 8)
EPSILON = 0.1
WINDOW_MS = 600_000
START_MS = 1_700_000_000_000


def good(kind: int) -> int:
    """The expert that answers this kind well."""
    return kind % EXPERTS


def experts(*, wrong: Sequence[int] = ()) -> dict[int, int]:
    """Which expert takes which kind when only ``wrong`` kinds go astray."""
    return {kind: (good(kind) + (kind in wrong)) % EXPERTS for kind in range(KIND_COUNT)}


def head(takes: Mapping[int, int], sureness: float = 6.0) -> Head:
    """A head that takes these experts, with logit ``sureness`` for each and 0 for the others."""
    weight = np.zeros((EXPERTS, KIND_COUNT), np.float32)
    for kind, expert in takes.items():
        weight[expert, kind] = sureness
    return Head(weight, np.zeros(EXPERTS, np.float32))


BASE_TAKES = experts(wrong=NEW)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file with what records say of it."""

    digest: Digest
    parent: Digest
    base: Digest
    step: int
    heads: bytes
    controller: Controller = field(repr=False)

    @property
    def release(self) -> Release:
        """As it stands in a serving state. Its approvals are left out: gates do not read them."""
        return Release(self.digest, self.step, self.heads, ())

    def candidate(self, time_ms: int = START_MS) -> Candidate:
        """As the learner offers it."""
        return Candidate(self.digest, self.parent, self.base, self.step, time_ms, self.heads, {})


def make_base(epsilon: float = EPSILON, sureness: float = 6.0) -> Checkpoint:
    """Candidate 0: right on every old kind, wrong on every new one; ``sureness`` as in ``head``."""
    base = head(BASE_TAKES, sureness)
    heads = write_checkpoint(Manifest(None, None, 0, ("expert",), epsilon), (base,), (base,), Mixer.closed(KIND_COUNT))
    digest = digest_of(heads)
    return Checkpoint(digest, digest, digest, 0, heads, read_checkpoint(heads))


def make_candidate(
    base: Checkpoint,
    *,
    parent: Checkpoint | None = None,
    step: int = 1,
    takes: Mapping[int, int] | None = None,
    scale: float = 1.0,
    opens: Sequence[int] = NEW,
    epsilon: float = EPSILON,
    base_head: Head | None = None,
) -> Checkpoint:
    """A candidate that takes ``takes`` (all kinds right unless said otherwise) wherever its mixer opens.

    Args:
        base: its base.
        parent: what it was trained from; the base unless said otherwise.
        step: counts candidates.
        takes: expert by kind.
        scale: factor on the learnt weights.
        opens: kinds for which the mixer lets the learnt head decide; elsewhere the base does.
        epsilon: of the manifest.
        base_head: put in the place of the base's, for a forged file.
    """
    learnt = head(experts() if takes is None else takes)
    mixer: Floats = np.full(KIND_COUNT, -12.0, np.float32)
    mixer[list(opens)] = 6.0
    parent = base if parent is None else parent
    heads = write_checkpoint(
        Manifest(base.digest, parent.digest, step, ("expert",), epsilon),
        (base.controller.base[0] if base_head is None else base_head,),
        (Head(learnt.weight * np.float32(scale), learnt.bias),),
        Mixer(mixer, 0.0),
    )
    return Checkpoint(digest_of(heads), parent.digest, base.digest, step, heads, read_checkpoint(heads))


def make_suite(prompts: int = 1_200, kinds: Sequence[int] = OLD) -> Suite:
    """Prompts of these kinds in turn, with their good experts; every kind of check has its share."""
    prompt_kinds = np.array([kinds[i % len(kinds)] for i in range(prompts)])
    features = np.eye(KIND_COUNT, dtype=np.float32)[prompt_kinds]
    actions = (prompt_kinds % EXPERTS)[:, None].astype(np.intp)
    checks = (np.arange(prompts) // len(kinds) % len(KINDS)).astype(np.uint8)
    return Suite(Digest("5" * 64), features, known_good(actions, (EXPERTS,)), checks)


def serving_state(
    base: Checkpoint,
    *,
    live: Checkpoint | None = None,
    staged: Checkpoint | None = None,
    stage: int = 1,
    share: float = 0.5,
    sequence: int = 1,
    time_ms: int = START_MS,
    mode: Mode = Mode.APPLY,
) -> ServingState:
    """What serves; the base is live unless said otherwise."""
    live = base if live is None else live
    trial = None if staged is None else Staged(staged.release, share, stage)
    steps = [one.step for one in (live, staged) if one is not None]
    return ServingState(sequence, time_ms, mode, False, base.release, live.release, trial, max(steps), 0, 0)  # noqa: FBT003 - the record's order


def outcome(**fields: object) -> Outcome:
    """A plain outcome of a live decision with reward 1; any field may be given."""
    digest = Digest("0" * 64)
    plain = Outcome(
        decision_id=DecisionId("00000000-0000-0000-0000-000000000000"),
        sequence=0,
        session_id="session",
        user=None,
        time_ms=START_MS,
        digest=digest,
        arm=Arm.LIVE,
        staged=None,
        serving_sequence=1,
        action=(0,),
        propensity=(0.925,),
        greedy_base=(0,),
        greedy_live=(0,),
        greedy_staged=None,
        reward=1.0,
        parts=RewardParts(thumb=1.0),
        group=None,
        window_end_ms=START_MS + WINDOW_MS,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


@dataclass
class Traffic:
    """Sessions like life, served as a serving state says: arms by lot, epsilon-greedy, some without a vote.

    Attributes:
        seed: of everything that is drawn.
        holdback: share of sessions that the base serves.
        new_share: share of prompts of new kinds.
        missing: share of decisions that nobody votes on.
        length: decisions of a session.
        fall: by arm, how much less its actions succeed than they should where the base would act otherwise.
        grouped: whether decisions are labelled with their kind.
    """

    seed: int = 0
    holdback: float = 0.1
    new_share: float = 0.5
    missing: float = 0.2
    length: int = 3
    fall: Mapping[Arm, float] = field(default_factory=dict)
    grouped: bool = False
    sequence: int = 0
    time_ms: int = START_MS

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._sessions = count()

    def outcomes(self, state: ServingState, decisions: int) -> Iterator[Outcome]:
        """The outcomes of about this many decisions, one a second, in the order in which their windows close."""
        controllers = {arm: _greedy(release) for arm, release in _served(state).items()}
        for _ in range(-(-decisions // self.length)):
            session, arm = f"session-{self.seed}-{next(self._sessions)}", self._arm(state)
            for _ in range(self.length):
                yield self._outcome(state, controllers, session, arm)

    def _arm(self, state: ServingState) -> Arm:
        place = self._random.random()
        if place < self.holdback:
            return Arm.HOLDBACK
        share = 0.0 if state.staged is None else state.staged.share
        return Arm.STAGED if place < self.holdback + share else Arm.LIVE

    def _outcome(self, state: ServingState, controllers: Mapping[Arm, list[int]], session: str, arm: Arm) -> Outcome:
        draw = self._random
        kind = draw.choice(NEW if draw.random() < self.new_share else OLD)
        greedy = controllers[arm][kind]
        taken: Action = (draw.randrange(EXPERTS) if draw.random() < EPSILON else greedy,)
        success = 0.9 if taken[0] == good(kind) else 0.1
        if greedy != controllers[Arm.HOLDBACK][kind]:
            success -= self.fall.get(arm, 0.0)
        reward = None if draw.random() < self.missing else float(draw.random() < success)
        number, self.sequence = self.sequence, self.sequence + 1
        self.time_ms += 1_000
        staged = state.staged
        return outcome(
            decision_id=DecisionId(f"00000000-0000-0000-0000-{number:012d}"),
            sequence=number,
            session_id=session,
            time_ms=self.time_ms,
            digest=_served(state)[arm].digest,
            arm=arm,
            staged=None if staged is None else staged.release.digest,
            serving_sequence=state.sequence,
            action=taken,
            propensity=propensity(taken, (greedy,), (EXPERTS,), EPSILON),
            greedy_base=(controllers[Arm.HOLDBACK][kind],),
            greedy_live=(controllers[Arm.LIVE][kind],),
            greedy_staged=None if staged is None else (controllers[Arm.STAGED][kind],),
            reward=reward,
            parts=RewardParts(thumb=reward),
            group=f"kind-{kind}" if self.grouped else None,
            window_end_ms=self.time_ms + WINDOW_MS,
        )


def numbered(
    outcomes: Iterable[Outcome], lost: Callable[[Outcome], bool] = lambda _: False, routers: int = 2
) -> list[Outcome]:
    """The same from routers that number, without what is lost; the join numbers what it closes.

    The first decision of a session always comes, so that no session is lost as a whole.
    """
    made: Counter[tuple[int, Arm]] = Counter()
    heard: list[Outcome] = []
    met: set[str] = set()
    for one in outcomes:
        router = zlib.crc32(one.session_id.encode()) % routers
        made[router, one.arm] += 1
        decision_id = numbered_id(new_prefix(f"{router:010x}"), made[router, one.arm])
        if one.session_id not in met or not lost(one):
            met.add(one.session_id)
            heard.append(replace(one, decision_id=decision_id, sequence=len(heard)))
    return heard


def _served(state: ServingState) -> dict[Arm, Release]:
    served = {Arm.HOLDBACK: state.base, Arm.LIVE: state.live}
    return served if state.staged is None else {**served, Arm.STAGED: state.staged.release}


def _greedy(release: Release) -> list[int]:
    """The expert that a release takes, by kind."""
    actions = read_checkpoint(release.heads).greedy(np.eye(KIND_COUNT, dtype=np.float32))
    return [int(expert) for expert in actions[:, 0]]
