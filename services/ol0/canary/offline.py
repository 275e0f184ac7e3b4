"""What the suite says of a checkpoint, and whether a candidate may be tried on people (stage 0)."""

from dataclasses import dataclass
from typing import Annotated, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator

from ol0.canary.paired import Differences, lower_bound
from ol0.config import SafetyConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.controller.suite import KINDS, Suite, share_of
from ol0.errors import CheckpointError
from ol0.records import Check, Digest, Reason

Flags = NDArray[np.bool_]
# One-sided, separately for each candidate. The learner sees of the suite only that a candidate was rejected.
SUITE_ALPHA: Final = 0.05
ROUNDING: Final = 1e-9  # of a sum of probabilities, which depends on the order of the choices
SUITE: Final = {"base": Check.SUITE_BASE, "parent": Check.SUITE_PARENT}
KEPT: Final = 0.5
"""A critical prompt fails where less than this share of what the base's answer is worth is left of it."""


def _worth_of(stored: object) -> Floats:
    """From the hexadecimal digits of its bytes; an array is taken as it is."""
    if isinstance(stored, np.ndarray):
        return stored
    return np.frombuffer(bytes.fromhex(str(stored)), "<f4").astype(np.float32)


def _worth_text(worth: Floats) -> str:
    return worth.astype("<f4").tobytes().hex()


def _flags_of(stored: object) -> Flags:
    if isinstance(stored, np.ndarray):
        return stored
    return np.unpackbits(np.frombuffer(bytes.fromhex(str(stored)), np.uint8)).astype(np.bool_)


def _flags_text(flags: Flags) -> str:
    return np.packbits(flags).tobytes().hex()


@dataclass(frozen=True)
class SuiteResult:
    """How one checkpoint does on the suite: all that is kept of it, for heads are a hundred times larger.

    Attributes:
        digest: which checkpoint.
        flaw: why it cannot be judged, in words; None if it can.
        worth: per prompt what its greedy action is worth, shape (N,).
        critical: per prompt whether its own base heads find a good action and are sure of it, shape (N,).
    """

    digest: Digest
    flaw: str | None
    worth: Annotated[Floats, PlainValidator(_worth_of), PlainSerializer(_worth_text)]
    critical: Annotated[Flags, PlainValidator(_flags_of), PlainSerializer(_flags_text)]

    def __post_init__(self) -> None:
        object.__setattr__(self, "critical", self.critical[: len(self.worth)])  # flags are stored eight at a time

    @classmethod
    def flawed(cls, digest: Digest, flaw: str) -> Self:
        """Of a checkpoint that cannot be judged."""
        return cls(digest, flaw, np.zeros(0, np.float32), np.zeros(0, np.bool_))


def run_suite(
    suite: Suite, digest: Digest, heads: bytes, safety: SafetyConfig, opener: Opener = read_checkpoint
) -> SuiteResult:
    """Verifies a checkpoint and asks it every prompt. A checkpoint that cannot be used is a result with a flaw.

    Args:
        suite: the trusted prompts.
        digest: what the checkpoint is said to be.
        heads: its bytes, or a reference to them.
        safety: says which prompts are critical.
        opener: opens it.
    """
    try:
        controller = opener(heads, digest)
    except CheckpointError as error:
        return SuiteResult.flawed(digest, str(error))
    if flaw := suite.misfit(controller):
        return SuiteResult.flawed(digest, flaw)
    # Finite weights may still overflow: such a policy is NaN, and its greedy action is wrong or right as any other.
    with np.errstate(all="ignore"):
        worth = suite.worth(controller.greedy(suite.features))
        return SuiteResult(digest, None, worth, _critical(controller, suite, safety))


def _critical(controller: Controller, suite: Suite, safety: SafetyConfig) -> Flags:
    """Where the base's action is worth at least half of the best, and it is sure of it, and surer than elsewhere.

    The last is asked because what a probability says depends on how the base was trained and on the scale of its
    features: one that is more than 90 % sure of 90 % of its prompts made every prompt critical, and nothing was ever
    released.
    """
    sure = np.ones(len(suite.features))
    taken, inputs = [], controller.inputs(suite.features)
    for head in controller.base:
        logits = head.logits(inputs).astype(np.float64)
        probabilities = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        sure *= probabilities.max(axis=1)
        taken.append(probabilities.argmax(axis=1))
    worth = suite.worth(np.stack(taken, axis=1))
    right = (worth > 0) & (worth >= KEPT * suite.best)
    # What is as sure as the prompt after them is not surer than elsewhere, however the base came to be sure.
    bar = np.append(np.sort(sure)[::-1], 0.0)[int(safety.critical_share * len(sure))]
    return np.asarray(right & (sure > max(bar + ROUNDING, safety.critical_confidence)))


@dataclass(frozen=True)
class Finding:
    """One check: its reason, and whether it speaks against the candidate."""

    reason: Reason
    passed: bool


def judge_base(suite: Suite, result: SuiteResult, threshold: float) -> list[Finding]:
    """Candidate 0 has nothing to be compared with: it must be worth its share of the suite."""
    share = share_of(result.worth, suite.best)
    text = (
        f"on {len(suite)} prompts the base is worth {share:.1%} of the best answers; warmup.canary_threshold wants "
        f"{threshold:.1%}"
    )
    return [Finding(Reason(Check.SUITE_PASS, share, None, threshold, text), share >= threshold)]


def judge_candidate(
    suite: Suite, safety: SafetyConfig, result: SuiteResult, base: SuiteResult, parent: SuiteResult
) -> list[Finding]:
    """The candidate against base and parent, prompt by prompt.

    Against the base too, or small losses would add up over releases. Each reference asks two questions, and the base a
    third, with no failure tolerated: prompts that the base answers well and is sure of.
    """
    references = [("base", base)] + ([("parent", parent)] if parent.digest != base.digest else [])
    findings = []
    for name, reference in references:
        findings.append(_not_worse(suite, safety, result, name, reference))
        findings.extend(_kept_by_kind(suite, safety, result, name, reference))
    findings.append(_critical_kept(safety, result, base))
    return findings


def _not_worse(suite: Suite, safety: SafetyConfig, result: SuiteResult, name: str, reference: SuiteResult) -> Finding:
    """In units of what the best answers are worth, so that a margin means the same where rewards are rare.

    Against the base a loss beyond the margin has to be ruled out. Against the parent none may be seen: asked for proof
    there too, what serves kept every later candidate out once chance had been kind to it on these few prompts, and the
    trial beside it comes next.
    """
    change = result.worth.astype(np.float64) - reference.worth
    unit, largest = float(suite.best.mean()), float(suite.best.max())
    difference, low = change.mean() / unit, lower_bound(Differences.of(change), largest, SUITE_ALPHA) / unit
    held, figure = (low, "at worst") if name == "base" else (difference, "on average")
    text = (
        f"against the {name} it gains on {(change > 0).sum()} and loses on {(change < 0).sum()} of {len(suite)} "
        f"prompts: {difference:+.1%} of what the best answers are worth, at worst {low:+.1%} (one-sided 95 %); "
        f"{figure} {-safety.suite_margin:.1%} is allowed"
    )
    reason = Reason(SUITE[name], float(difference), low, -safety.suite_margin, text)
    return Finding(reason, held >= -safety.suite_margin)


def _kept_by_kind(
    suite: Suite, safety: SafetyConfig, result: SuiteResult, name: str, reference: SuiteResult
) -> list[Finding]:
    """A point estimate on purpose: kinds are small, and a bound would fail every candidate. Few prompts: no slack.

    A gain on one prompt does not make up for a loss on another.
    """
    findings = []
    kept = np.minimum(result.worth, reference.worth).astype(np.float64)
    for index, kind in enumerate(KINDS):
        of_kind = suite.kinds == index
        whole = float(reference.worth[of_kind].sum(dtype=np.float64))
        if not whole:
            continue
        share = float(kept[of_kind].sum()) / whole
        text = (
            f"of what the {name} is worth on {of_kind.sum()} {kind} prompts, it keeps {share:.1%}; safety.suite_pass "
            f"wants {safety.suite_pass:.1%}"
        )
        reason = Reason(f"{kind}_{name}", share, None, safety.suite_pass, text)
        findings.append(Finding(reason, share >= safety.suite_pass))
    return findings


def _critical_kept(safety: SafetyConfig, result: SuiteResult, base: SuiteResult) -> Finding:
    count, failed = int(base.critical.sum()), int((base.critical & (result.worth < KEPT * base.worth)).sum())
    text = (
        f"it fails {failed} of {count} critical prompts (the base answers well, is more than "
        f"{safety.critical_confidence:.0%} sure, and surer than elsewhere); none may lose half of its worth"
    )
    return Finding(Reason(Check.CRITICAL, float(failed), None, 0.0, text), not failed)
