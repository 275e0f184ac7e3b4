"""What serves, and since when."""

from dataclasses import dataclass

from ol0.console.observing.knowledge import Known
from ol0.console.view.words import since
from ol0.operator.figures import Serving, Trial
from ol0.operator.text import age, plural
from ol0.records import Digest, Phase, short


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what there is to say; ``title`` in full where the text is short."""

    name: str
    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class ServingPanel:
    """The checkpoint that serves, and everything around it as facts."""

    short: str
    digest: Digest
    is_base: bool
    step: int
    since: str
    facts: tuple[Fact, ...]


def serving_panel(known: Known, clock_ms: int) -> ServingPanel | None:
    """What serves; None before there is a base."""
    serving = known.serving
    if serving is None:
        return None
    since_text = since(live_since_ms(known), clock_ms)
    facts = tuple(_facts(known, serving, clock_ms))
    is_base = serving.live == serving.base
    return ServingPanel(short(serving.live), serving.live, is_base, serving.live_step, since_text, facts)


def live_since_ms(known: Known) -> int | None:
    """When what serves came to serve; where its transition is not there, when the serving state was made."""
    if known.serving is None:
        return None
    live = known.serving.live
    moves = [it.time_ms for it in known.transitions if it.to_phase is Phase.LIVE and it.digest == live]
    return moves[-1] if moves else known.facts.time_ms if known.facts is not None else None


def _facts(known: Known, serving: Serving, clock_ms: int) -> list[Fact]:
    facts = [
        Fact("base", "itself" if serving.live == serving.base else short(serving.base), serving.base),
        Fact("on trial", _trial(serving.staged), serving.staged.digest if serving.staged else ""),
        Fact("candidates", "frozen" if serving.frozen else "may advance"),
        Fact("mode", serving.mode),
        Fact("serving state", f"number {serving.sequence:,}"),
    ]
    if known.facts is not None and known.facts.cooldown_until_ms > clock_ms and not serving.frozen:
        facts.append(Fact("cooldown", f"no new candidate for {_left(known.facts.cooldown_until_ms, clock_ms)}"))
    if known.facts is not None and known.facts.failures:
        facts.append(Fact("failures in a row", plural(known.facts.failures, "failure")))
    return facts


def _trial(trial: Trial | None) -> str:
    if trial is None:
        return "nothing"
    return f"{short(trial.digest)} (step {trial.step}), stage {trial.stage}, {trial.share * 100:.3g} % of sessions"


def _left(until_ms: int, clock_ms: int) -> str:
    return age((until_ms - clock_ms) / 1000)
