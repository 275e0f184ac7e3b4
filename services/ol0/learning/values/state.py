"""All that a learner of values knows beyond what it was made from, and its bytes."""

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from ol0.controller.controller import Controller
from ol0.controller.heads import Floats, Head, Mixer
from ol0.controller.packing import pack_tensors
from ol0.controller.trunk import Trunk, through
from ol0.errors import CheckpointError
from ol0.learning.calibration import CLOSED, THRESHOLDS, Platt
from ol0.learning.evidence import Evidence
from ol0.learning.known_prompts import KnownPrompts
from ol0.learning.trust import Trust
from ol0.learning.values.evidence import Bet
from ol0.learning.values.fit import Fit
from ol0.learning.values.scales import Scales
from ol0.records import Digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRUST = ("doubt", "draws", "votes")


@dataclass(frozen=True, slots=True)
class Policy:
    """What the last refit came to.

    Attributes:
        heads: values over the temperature, by part.
        mixer: at the threshold of ``THRESHOLDS`` that is 0.
        regrets: points that the anchors lose at each of ``THRESHOLDS``.
        live: the base's belief as live votes have it, by part.
        lead: standard errors by which its answers are expected to be worth more than those of what serves.
        over: digest of what served then.
        trunk: with hidden layers as they were tuned; None where they are frozen, or there are none.
    """

    heads: tuple[Head, ...]
    mixer: Mixer
    regrets: Floats
    live: tuple[Platt, ...]
    lead: float = 0.0
    over: Digest = Digest("")  # noqa: RUF009 - a string
    trunk: Trunk | None = None

    def inputs(self, features: Floats) -> Floats:
        """What its heads see of what the base's heads see, of the same shape (n, D)."""
        return through(self.trunk, features)

    def closed_by(self, budget: float) -> float:
        """The smallest threshold that loses no more, in points."""
        return next((t for t, lost in zip(THRESHOLDS, self.regrets, strict=True) if lost <= budget), CLOSED)

    def on(self, base: Controller, threshold: float) -> Controller:
        """Beside the base."""
        mixer = replace(self.mixer, threshold=self.mixer.threshold + threshold)
        return replace(base, learnt=self.heads, mixer=mixer)


@dataclass(frozen=True, slots=True)
class State:
    """All that changes.

    Attributes:
        policy: None before the first refit.
        fits: what the next refit begins with, by part; likewise.
        fitted: examples that there were at the last refit, evicted ones included.
        excluded: examples that had been excluded by then: where there are more, some are to be forgotten.
        refits: so far.
        bets: against the base's belief as it is, and against the same where it is told how good each prompt is.
        evidence, known, trust: what else fresh examples said, and of whom.
        seen: examples that these have looked at.
    """

    policy: Policy | None = None
    fits: tuple[Fit, ...] = ()
    fitted: int = 0
    excluded: int = 0
    refits: int = 0
    bets: tuple[Bet, Bet] = (Bet(), Bet())
    evidence: Evidence = field(default_factory=Evidence)
    known: KnownPrompts = field(default_factory=KnownPrompts.none)
    trust: Trust = field(default_factory=Trust.nobody)
    seen: int = 0

    @property
    def won(self) -> float:
        """Standard errors of the bet that is won by less."""
        return min(bet.errors for bet in self.bets)


def pack(state: State) -> bytes:
    """Safetensors bytes, bit for bit; the numbers as JSON in one more tensor."""
    policy = state.policy
    numbers: dict[str, object] = {
        "seen": state.seen,
        "fitted": state.fitted,
        "excluded": state.excluded,
        "refits": state.refits,
        "nats": [bet.nats for bet in state.bets],
    }
    numbers |= {"evidence": asdict(state.evidence)}
    tensors: dict[str, NDArray[np.generic]] = {f"trust.{name}": getattr(state.trust, name) for name in _TRUST}
    tensors["known.tags"] = state.known.tags
    if policy is not None:
        numbers |= {"threshold": policy.mixer.threshold, "live": [asdict(it) for it in policy.live]}
        numbers |= {"lead": policy.lead, "over": policy.over}
        numbers |= {"fits": [{"alike": it.alike, "scales": asdict(it.scales)} for it in state.fits]}
        tensors |= {"mixer": policy.mixer.weight, "regrets": policy.regrets}
        if policy.trunk is not None:
            tensors |= {f"tuned.{name}": tensor for name, tensor in policy.trunk.tuned.items()}
        for part, (head, fit) in enumerate(zip(policy.heads, state.fits, strict=True)):
            tensors |= {f"{part}.weight": head.weight, f"{part}.bias": head.bias, f"{part}.values": fit.weights}
    tensors["numbers"] = np.frombuffer(json.dumps(numbers, sort_keys=True).encode(), np.uint8)
    return pack_tensors(tensors)


def unpack(data: bytes, base: Controller, trunk: Trunk | None = None) -> State:
    """The inverse of ``pack``.

    Args:
        data: what it gave.
        base: whose heads the learnt ones are like.
        trunk: the base's, where it is tuned.

    Raises:
        CheckpointError: not such bytes, or of another base.
    """
    try:
        tensors = load(data)
        numbers = json.loads(tensors["numbers"].tobytes())
        nats = numbers["nats"] if isinstance(numbers["nats"], list) else [numbers["nats"], 0.0]  # up to 0.1: one bet
        state = State(
            fitted=int(numbers["fitted"]),
            excluded=int(numbers["excluded"]),
            refits=int(numbers["refits"]),
            bets=(Bet(float(nats[0])), Bet(float(nats[1]))),
            evidence=Evidence(**numbers["evidence"]),
            known=KnownPrompts(tensors["known.tags"]),
            trust=Trust(*(tensors[f"trust.{name}"] for name in _TRUST)),
            seen=int(numbers["seen"]),
        )
        if "fits" not in numbers:
            return state
        heads = tuple(Head(tensors[f"{part}.weight"], tensors[f"{part}.bias"]) for part in range(len(numbers["fits"])))
        fits = tuple(
            Fit(tensors[f"{part}.values"], Scales(**it["scales"]), float(it["alike"]))
            for part, it in enumerate(numbers["fits"])
        )
        mixer = Mixer(tensors["mixer"], float(numbers["threshold"]))
        live, lead = tuple(Platt(**it) for it in numbers["live"]), float(numbers.get("lead", 0.0))  # earlier: none
        if trunk is not None:
            trunk = replace(trunk, tuned={name: tensors[f"tuned.{name}"] for name in trunk.tuned})
        policy = Policy(heads, mixer, _regrets(tensors["regrets"]), live, lead, Digest(numbers.get("over", "")), trunk)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"learner snapshot cannot be read: {error}; `ol0 snapshots delete` removes it") from None
    found, wanted = [head.weight.shape for head in heads], [head.weight.shape for head in base.base]
    if found != wanted:
        raise CheckpointError(
            f"learner snapshot has heads of {found}, the base of this lineage {wanted}: "
            "the state topic belongs to another base; give the new base a topic_prefix of its own"
        )
    return replace(state, policy=policy, fits=fits)


def _regrets(stored: Floats) -> Floats:
    """Versions up to 0.1 tried fewer thresholds before the last: at those that are new no more is lost than below."""
    return np.insert(stored, -1, np.full(len(THRESHOLDS) - len(stored), stored[-2]))
