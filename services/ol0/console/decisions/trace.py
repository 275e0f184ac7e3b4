"""Where a decision went, in the order in which things happen: one step each, for the page and the terminal."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ol0.config import StreamingConfig
from ol0.console.decisions.search import Found, Place, Said
from ol0.console.view.words import Tone, since
from ol0.operator.dead_letter_text import plain, remedy, short_line
from ol0.operator.text import moment, percent, plural
from ol0.records import Arm, Outcome, Phase, RewardParts, ToolFeedback, Transition, UserFeedback

PARTS: Final = ("thumb", "rating", "correction", "tool", "implicit")
ARMS: Final = {
    Arm.LIVE: "what was live",
    Arm.STAGED: "the candidate on trial",
    Arm.HOLDBACK: "the holdback: always the base",
}


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One station: what it is, what happened there, and details."""

    name: str
    tone: Tone
    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """All stations, and what was looked through to find them."""

    decision_id: str
    is_found: bool
    steps: tuple[TraceStep, ...]
    searched: tuple[str, ...]
    is_whole: bool


def trace(found: Found, streaming: StreamingConfig, clock_ms: int) -> Trace:
    """The way of a decision as far as store and topics tell."""
    steps = tuple(_steps(found, streaming, clock_ms))
    searched = (*map(_searched, found.places), *(f"not read: {text}" for text in found.unread))
    is_whole = all(place.searched.whole or place.is_enough for place in found.places) and not found.unread
    return Trace(found.decision_id, found.made is not None, steps, searched, is_whole)


def _steps(found: Found, streaming: StreamingConfig, clock_ms: int) -> Iterator[TraceStep]:
    if found.made is None:
        yield _unknown(found)
    else:
        yield _decision(found, clock_ms)
        yield _window(found, streaming)
        yield _feedback(found, streaming)
        yield _reward(found)
        yield _outcome(found)
        yield _release(found)
    if found.letters:
        yield _letters(found)


def _unknown(found: Found) -> TraceStep:
    text = (
        f"Neither the decision nor its outcome is among what was read of the last {found.bounds.hours:g} hours. It may "
        "be older, still be in its host's queue (`router.account`), or have been dropped there; look further back with "
        "`ol0 trace ID --hours 168`, which is as long as topics keep it by default"
    )
    return TraceStep("decision", Tone.OPEN, f"Not found. {text}.")


def _decision(found: Found, clock_ms: int) -> TraceStep:
    made = found.made
    assert made is not None
    details = [
        f"session {made.session_id}" + ("" if made.user is None else f", user {made.user} (a pseudonym)"),
        f"action {_action(made.action)}, propensity {', '.join(f'{one:.3g}' for one in made.propensity)}",
        "group " + (made.group or "none"),
    ]
    if found.decision is None:
        details.append("read from its outcome: the decision itself is not among what was read")
    return TraceStep(
        "decision", Tone.LIVE, f"Made {since(made.time_ms, clock_ms)}, by {ARMS[made.arm]}.", tuple(details)
    )


def _window(found: Found, streaming: StreamingConfig) -> TraceStep:
    made, stats = found.made, found.stats
    assert made is not None
    if found.outcome is not None:
        return TraceStep("window", Tone.GOOD, f"Closed at {moment(found.outcome.window_end_ms)} event time.")
    end_ms = made.time_ms + round(1000 * streaming.reward_window_s)
    if stats is None:
        return TraceStep("window", Tone.QUIET, f"Ends at {moment(end_ms)} event time; the store does not answer.")
    if stats.watermark_ms <= end_ms:
        waits = f"event time has passed {moment(stats.watermark_ms)}" if stats.watermark_ms else "no event time yet"
        held = "".join(f"; {name} holds it back" for name in stats.holding_back)
        return TraceStep("window", Tone.OPEN, f"Open until event time {moment(end_ms)}: {waits}{held}.")
    text = (
        f"Event time has passed its end, {moment(end_ms)}, and no outcome was found: it was dropped (late, a "
        "duplicate, from the future, of a forgotten user), or its outcome is still in the outbox"
    )
    return TraceStep("window", Tone.BAD, f"{text}.", (_drops(found), f"outbox: {stats.outbox:,} commits"))


def _drops(found: Found) -> str:
    assert found.stats is not None
    dropped = found.stats.counters.decisions_dropped
    counts = ", ".join(f"{count:,} {reason}" for reason, count in dropped.items() if count)
    return f"decisions dropped so far: {counts or 'none'}"


def _feedback(found: Found, streaming: StreamingConfig) -> TraceStep:
    made = found.made
    assert made is not None
    if not found.said:
        return TraceStep("feedback", Tone.QUIET, "None was found.")
    end_ms = made.time_ms + round(1000 * streaming.reward_window_s)
    early_ms = made.time_ms - round(1000 * streaming.early_skew_s)
    ordered = sorted(found.said, key=lambda it: (it.time_ms, it.feedback_id))
    details = tuple(_said(it, early_ms, end_ms) for it in ordered)
    return TraceStep("feedback", Tone.LIVE, f"{plural(len(details), 'record')}.", details)


def _said(said: Said, early_ms: int, end_ms: int) -> str:
    note = ", before its decision: dropped" if said.time_ms < early_ms else ""
    note = ", after its window: dropped" if said.time_ms > end_ms else note
    return f"{moment(said.time_ms)}  {_words(said)}, from {said.source} ({said.feedback_id}){note}"


def _words(said: Said) -> str:
    match said:
        case UserFeedback():
            words = [] if said.thumb is None else [f"thumb {said.thumb:+d}"]
            words += [] if said.rating is None else [f"rating {said.rating}"]
            words += [] if said.correction is None else [f"correction to {_action(said.correction)}"]
            return ", ".join(words)
        case ToolFeedback():
            failure = "" if said.error_class is None else f": {said.error_class}"
            return f"tool {said.tool} {'succeeded' if said.success else 'failed'}{failure}"
        case _:
            return f"{said.kind}, strength {said.strength:g}"


def _reward(found: Found) -> TraceStep:
    outcome = found.outcome
    if outcome is None:
        return TraceStep("reward", Tone.QUIET, "Made when the window closes.")
    if outcome.reward is None:
        return TraceStep("reward", Tone.QUIET, "None: nothing that counts was said of it, so it makes no example.")
    return TraceStep(
        "reward", Tone.GOOD, f"{percent(outcome.reward)} of the best there is.", tuple(_parts(outcome.parts))
    )


def _parts(parts: RewardParts) -> Iterator[str]:
    for name in PARTS:
        value: float | None = getattr(parts, name)
        if value is not None:
            yield f"{name}: {percent(value)}"


def _outcome(found: Found) -> TraceStep:
    outcome = found.outcome
    if outcome is None:
        return TraceStep("outcome", Tone.QUIET, "Not published yet.")
    what = "evaluator, canary and drift count it" if outcome.reward is not None else "gates count it as not voted on"
    return TraceStep(
        "outcome", Tone.GOOD, f"Number {outcome.sequence:,} on the topic outcomes; {what}.", _would(outcome)
    )


def _would(outcome: Outcome) -> tuple[str, ...]:
    """What each policy would have done without exploring."""
    choices = {"base": outcome.greedy_base, "live": outcome.greedy_live, "staged": outcome.greedy_staged}
    return tuple(f"{name} would choose {_action(choice)}" for name, choice in choices.items() if choice is not None)


def _release(found: Found) -> TraceStep:
    made = found.made
    assert made is not None
    role = f"Checkpoint {made.digest}, serving state {made.serving_sequence:,}."
    details = [*(("on trial then: " + made.staged,) if made.staged else ()), *map(_move, found.life)]
    fallen = any(move.to_phase is Phase.QUARANTINED for move in found.life)
    return TraceStep("release", Tone.BAD if fallen else Tone.LIVE, role, tuple(details))


def _move(move: Transition) -> str:
    return f"{moment(move.time_ms)}  {move.from_phase or 'new'} → {move.to_phase} (step {move.step}): {move.cause}"


def _letters(found: Found) -> TraceStep:
    details = tuple(plain(line) for it in found.letters for line in (short_line(it), remedy(it)))
    return TraceStep("dead letters", Tone.BAD, f"{plural(len(found.letters), 'letter')} with its id.", details)


def _searched(place: Place) -> str:
    seen = place.searched
    what = f"{place.topic}: {plural(seen.records, 'record')}"
    if seen.first_ms is not None and seen.last_ms is not None:
        what += f", appended {moment(seen.first_ms)} to {moment(seen.last_ms)}"
    if seen.whole:
        return what
    return f"{what}; until it was found" if place.is_enough else f"{what}; not to the end of the span"


def _action(action: tuple[int, ...]) -> str:
    return "/".join(map(str, action))
