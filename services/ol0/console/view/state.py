"""The state of a lineage in a word and a sentence, and what is out of reach."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ol0.config import Settings
from ol0.console.observing.knowledge import Known
from ol0.console.observing.picture import Part, Picture, Trouble
from ol0.console.view.words import Tone, begun, since
from ol0.operator.text import percent, plural
from ol0.records import Digest, Phase, short


class State(StrEnum):
    """What a lineage is doing."""

    READING = "Reading"
    EMPTY = "Empty"
    LEARNING = "Learning"
    ON_TRIAL = "On trial"
    RELEASED = "Released"
    ROLLED_BACK = "Rolled back"
    FROZEN = "Frozen"


TONES: Final = {
    State.READING: Tone.QUIET,
    State.EMPTY: Tone.QUIET,
    State.LEARNING: Tone.LIVE,
    State.ON_TRIAL: Tone.STAGED,
    State.RELEASED: Tone.GOOD,
    State.ROLLED_BACK: Tone.BAD,
    State.FROZEN: Tone.OPEN,
}


@dataclass(frozen=True, slots=True)
class Headline:
    """The state, and one sentence about it. ``is_old``: topics cannot be read now, so it may be another by now."""

    state: State
    tone: Tone
    sentence: str
    is_old: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """Something is out of reach: what, since when, what was said, and what to do."""

    title: str
    since: str
    text: str
    remedy: str


REMEDIES: Final = {
    Part.BROKER: "Start Kafka, or correct kafka.bootstrap_servers; `ol0 config check` says more. Services and hosts "
    "keep their places and continue when it is back; hosts keep serving the last release.",
    Part.TOPICS: "`ol0 topics diff` shows what is missing, `ol0 topics apply` makes it.",
    Part.STORE: "Start Redis or Valkey, or correct redis.url; `ol0 replay stats` asks again. Feedback waits in Kafka "
    "meanwhile; nothing is lost.",
    Part.LETTERS: "`ol0 dlq list` reads them again; `ol0 topics apply` makes missing topics.",
}
TITLES: Final = {
    Part.BROKER: "Kafka does not answer",
    Part.TOPICS: "The topics cannot be read",
    Part.STORE: "The replay store does not answer",
    Part.LETTERS: "The dead letters cannot be read",
}


def headline(picture: Picture, rewards: int) -> Headline:
    """The state of the lineage as far as it is known.

    Args:
        picture: what is known.
        rewards: outcomes with a reward so far.
    """
    state, sentence = _state(picture, rewards)
    is_old = any(picture.trouble(part) for part in (Part.BROKER, Part.TOPICS))
    return Headline(state, Tone.QUIET if is_old else TONES[state], sentence, is_old)


def notices(picture: Picture, settings: Settings, clock_ms: int) -> tuple[Notice, ...]:
    """What is out of reach, most important first; what the broker's absence explains is left out."""
    is_away = picture.trouble(Part.BROKER) is not None
    told = [it for it in picture.troubles if not is_away or it.part in {Part.BROKER, Part.STORE}]
    where = {Part.BROKER: f" at {settings.kafka.bootstrap_servers}"}
    found = [_notice(it, where.get(it.part, ""), clock_ms) for it in told]
    if picture.known.flaw is not None:
        remedy = "Run the console in the version of the evaluator."
        found.append(Notice("The evaluator's figures cannot be read", "", picture.known.flaw, remedy))
    return tuple(found)


def _notice(trouble: Trouble, where: str, clock_ms: int) -> Notice:
    title = f"{TITLES[trouble.part]}{where}"
    return Notice(title, f"since {since(trouble.since_ms, clock_ms)}", trouble.text, REMEDIES[trouble.part])


def _state(picture: Picture, rewards: int) -> tuple[State, str]:
    known, serving = picture.known, picture.known.serving
    if serving is None:
        return _before_serving(picture)
    if serving.frozen:
        return State.FROZEN, "No candidate advances until `ol0 releases thaw`; what serves keeps serving."
    if serving.staged is not None:
        trial = serving.staged
        share = percent(trial.share)
        return (
            State.ON_TRIAL,
            f"Candidate {short(trial.digest)} serves {share} of the sessions, at stage {trial.stage}.",
        )
    if (fallen := last_rollback(known)) is not None:
        return State.ROLLED_BACK, f"Checkpoint {short(fallen)} was taken back; {_who(known)} serves."
    if serving.live == serving.base:
        return (
            State.LEARNING,
            f"The base serves while the learner collects evidence: {plural(rewards, 'reward')} so far.",
        )
    return State.RELEASED, f"{begun(_who(known))} serves; the learner works on the next candidate."


def _before_serving(picture: Picture) -> tuple[State, str]:
    if not picture.caught_up:
        return State.READING, "The topics are being read; this page fills by itself."
    if picture.known.candidates:
        return State.EMPTY, "Nothing serves yet: the base waits for both gates. `ol0 run` starts them."
    return State.EMPTY, "Nothing serves yet: `ol0 warmup` offers a base, `ol0 run` judges and releases it."


def last_rollback(known: Known) -> Digest | None:
    """The digest that was taken back, where that is the last thing that changed what serves."""
    moves = [it for it in known.transitions if it.to_phase in {Phase.STAGED, Phase.LIVE, Phase.QUARANTINED}]
    newest = moves[-1].serving_sequence if moves else None
    fallen = [it.digest for it in moves if it.serving_sequence == newest and it.to_phase is Phase.QUARANTINED]
    return fallen[-1] if fallen else None


def _who(known: Known) -> str:
    serving = known.serving
    assert serving is not None
    return "the base" if serving.live == serving.base else f"release {short(serving.live)} (step {serving.live_step})"
