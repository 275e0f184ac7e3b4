"""Candidates: what each gate has checked, what it says, and how much evidence is missing."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ol0.console.observing.knowledge import Known
from ol0.console.view.words import JUDGEMENTS, PHASES, Tone, name_of, since
from ol0.operator.figures import CandidateStory, deciding_reason
from ol0.operator.text import DASH, MINUS, plural, reason_text, signed_points, stage_text
from ol0.records import DIFFERENCES, Check, Gate, Judgement, Phase, Reason, Verdict, short

SHOWN: Final = 12
LONGEST: Final = 120
"""Characters of a cause in one line."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """One check: what was found, the bound that its confidence gives, the limit it is held against, and the words."""

    name: str
    figure: str
    bound: str
    limit: str
    text: str
    decides: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """How much of the evidence is there: a share within 0..1, and the same in words."""

    share: float
    text: str


@dataclass(frozen=True, slots=True)
class GateView:
    """The newest word of one gate."""

    gate: str
    word: str
    tone: Tone
    stage: str
    when: str
    evidence: str
    deciding: str
    missing: tuple[Evidence, ...]
    checks: tuple[CheckRow, ...]


@dataclass(frozen=True, slots=True)
class CandidateView:
    """One candidate. ``is_open``: its gates are shown without being asked for."""

    short: str
    digest: str
    step: int
    parent: str
    offered: str
    phase: str
    tone: Tone
    is_open: bool
    summary: str
    gates: tuple[GateView, ...]


@dataclass(frozen=True, slots=True)
class Candidates:
    """The newest first, and how many more there are."""

    shown: tuple[CandidateView, ...]
    hidden: int
    total: int


def candidates(known: Known, clock_ms: int, *, full: bool) -> Candidates:
    """All of them where ``full``, else the newest."""
    stories = known.candidates[::-1]
    shown = stories if full else stories[:SHOWN]
    newest = stories[0].digest if stories else None
    causes = {move.digest: move.cause for move in known.transitions}
    views = tuple(_candidate(it, causes.get(it.digest, ""), clock_ms, is_newest=it.digest == newest) for it in shown)
    return Candidates(views, len(stories) - len(shown), len(stories))


def gate_view(verdict: Verdict, clock_ms: int) -> GateView:
    """A verdict as the page shows it."""
    word, tone = JUDGEMENTS[verdict.judgement]
    reason = deciding_reason(verdict)
    unit = "prompt" if verdict.stage == 0 else "session"
    return GateView(
        gate=verdict.gate,
        word=word,
        tone=tone,
        stage=stage_text(verdict.stage),
        when=since(verdict.time_ms, clock_ms),
        evidence=plural(verdict.evidence, unit),
        deciding="" if reason is None else reason_text(reason),
        missing=tuple(_missing(verdict)),
        checks=tuple(_check(it, decides=it is reason) for it in verdict.reasons if it.check != Check.MISSING),
    )


def _candidate(story: CandidateStory, cause: str, clock_ms: int, *, is_newest: bool) -> CandidateView:
    phase = story.phase or Phase.OFFERED
    word, tone = PHASES[phase]
    words = [verdict for gate in Gate if (verdict := story.word(gate)) is not None]
    return CandidateView(
        short=short(story.digest),
        digest=story.digest,
        step=story.step,
        parent="itself" if story.parent == story.digest else short(story.parent),
        offered=since(story.offered_ms, clock_ms),
        phase=word,
        tone=tone,
        is_open=phase is Phase.STAGED or (is_newest and phase is Phase.OFFERED),
        summary=_summary(words, phase, cause),
        gates=tuple(gate_view(verdict, clock_ms) for verdict in words),
    )


def _summary(words: list[Verdict], phase: Phase, cause: str) -> str:
    """One line: who has spoken last, and the figure that decided; the cause of an end that no verdict explains."""
    against = [it for it in words if it.judgement in {Judgement.REJECT, Judgement.ROLLBACK}]
    if phase in {Phase.REJECTED, Phase.QUARANTINED} and not against:
        return cause if len(cause) <= LONGEST else f"{cause[: LONGEST - 1]}…"
    if not words:
        return "waits for both gates" if phase is Phase.OFFERED else "its verdicts are no longer on the log"
    verdict = (against or sorted(words, key=lambda it: (it.stage, it.time_ms)))[-1]
    reason = deciding_reason(verdict)
    figure = "" if reason is None else f": {reason_text(reason)}"
    return f"{verdict.gate} {JUDGEMENTS[verdict.judgement][0]}, {stage_text(verdict.stage)}{figure}"


def _check(reason: Reason, *, decides: bool) -> CheckRow:
    bound, limit = _number(reason, reason.bound), _number(reason, reason.threshold)
    return CheckRow(name_of(reason.check), _number(reason, reason.figure), bound, limit, reason.text, decides)


def _number(reason: Reason, number: float | None) -> str:
    """In points where the check is a difference of two rates, else as it is, with three digits that matter."""
    if number is None:
        return DASH
    if reason.check in DIFFERENCES:
        return signed_points(number)
    text = f"{number:,.0f}" if float(number).is_integer() else f"{number:.3f}" if abs(number) < 1 else f"{number:,.3g}"
    return text.replace("-", MINUS)


def _missing(verdict: Verdict) -> Iterator[Evidence]:
    """What a gate that waits says of the evidence that it still needs."""
    if verdict.judgement is not Judgement.HOLD:
        return
    for reason in verdict.reasons:
        if reason.figure is None:
            continue
        if reason.check == Check.MISSING:
            whole = verdict.evidence + reason.figure
            text = f"{verdict.evidence:,} of about {whole:,.0f} sessions; {reason.figure:,.0f} missing"
            yield Evidence(_share(verdict.evidence, whole), f"{_against(reason)}{text}")
        elif reason.check == Check.NO_HARM and reason.threshold:
            text = f"{reason.figure:,.0f} of {reason.threshold:,.0f} decisions without harm"
            yield Evidence(_share(reason.figure, reason.threshold), text)


def _against(reason: Reason) -> str:
    """``against live: `` where the gate says against whom."""
    head, colon, _ = reason.text.partition(":")
    return f"{head}: " if colon else ""


def _share(part: float, whole: float) -> float:
    return min(1.0, max(0.0, part / whole)) if whole > 0 else 0.0
