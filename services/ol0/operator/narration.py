"""A run in sentences: what happens now, its state, and what is new since the last look."""

from collections.abc import Iterator
from itertools import permutations

from ol0.operator.figures import CandidateStory, Trial
from ol0.operator.observation import Observation
from ol0.operator.text import lift_text, percent, plural, sentence, transition_sentence, verdict_sentence
from ol0.records import Arm, Check, Gate, Judgement, Phase, short
from ol0.release.state import verdict_cause


def now_sentence(now: Observation) -> str:
    """What happens at this moment."""
    if now.serving is None:
        return "Waiting for the first serving state: the services are starting."
    if now.serving.staged is not None:
        return _trial_sentence(now, now.serving.staged)
    if now.serving.frozen:
        return "Releases are frozen until `ol0 releases thaw`: by an order, or after too many failures in a row."
    if now.planned and now.decisions >= now.planned:
        return sentence(f"All {plural(now.decisions, 'decision')} are made; {plural(now.lag, 'outcome')} to come")
    waiting = _waiting(now)
    if waiting is not None:
        gates = " and ".join(gate for gate in Gate if waiting.word(gate) is None)
        return sentence(f"Candidate {short(waiting.digest)} waits for {gates or 'its turn'}")
    who = "The base" if now.serving.live == now.serving.base else f"Checkpoint {short(now.serving.live)}"
    return sentence(f"{who} serves while the learner collects examples: {plural(now.rewarded, 'reward')} so far")


def status_sentence(now: Observation) -> str:
    """The state of the run, in one line."""
    arms = ", ".join(
        f"{arm} {percent(figures.recent)}" for arm, figures in now.arms.items() if figures.recent is not None
    )
    success = f"; success now: {arms}" if arms else ""
    return sentence(
        f"{now.decisions:,} of {plural(now.planned, 'decision')} made, {now.events_per_s:,.0f} events/s, "
        f"{plural(now.lag, 'outcome')} to come{success}; lift {lift_text(now.lift)}"
    )


def news(before: Observation | None, now: Observation) -> Iterator[tuple[float, str]]:
    """What ``before`` lacks and when it was seen: candidates, verdicts except hold, transitions, restarts.

    The offer of a checkpoint is reported once, with its candidate.
    """
    known = (0, 0, 0) if before is None else (len(before.candidates), len(before.verdicts), len(before.transitions))
    told = [(story.at_s, _offer_sentence(story)) for story in now.candidates[known[0] :]]
    verdicts, transitions = now.verdicts[known[1] :], now.transitions[known[2] :]
    told += [(v.at_s, verdict_sentence(v.record)) for v in verdicts if v.record.judgement is not Judgement.HOLD]
    causes = [verdict_cause(verdict.record) for verdict in now.verdicts]
    said = {*causes, *map("; ".join, permutations(causes, 2))}  # an offline stage needs both gates
    told += [
        (t.at_s, transition_sentence(t.record, with_cause=t.record.cause not in said))
        for t in transitions
        if t.record.to_phase is not Phase.OFFERED
    ]
    yield from sorted(told, key=lambda event: event[0])  # stable: what was seen at once stays offer, word, step
    for name, count in now.restarts.items():
        if count > (0 if before is None else before.restarts.get(name, 0)):
            yield now.elapsed_s, sentence(f"Service {name} was restarted, {plural(count, 'time')} so far")


def _trial_sentence(now: Observation, trial: Trial) -> str:
    serves = f"Candidate {short(trial.digest)} is on trial with {trial.share * 100:.0f} % of the sessions"
    story = now.story(trial.digest)
    word = None if story is None else story.word(Gate.CANARY)
    if word is None or word.stage != trial.stage:
        rewards = now.arms[Arm.STAGED].rewards
        return sentence(f"{serves}: waiting for its first evidence ({plural(rewards, 'reward')} on trials so far)")
    if word.judgement is not Judgement.HOLD:
        return sentence(f"{serves}: the canary has decided after {plural(word.evidence, 'session')}")
    missing = next((reason.figure for reason in word.reasons if reason.check == Check.MISSING), None)
    of = "" if missing is None else f" of about {word.evidence + round(missing):,}"
    return sentence(f"{serves}: {word.evidence:,}{of} sessions")


def _waiting(now: Observation) -> CandidateStory | None:
    """The candidate that the gates have not decided on, if there is one: only the newest can be."""
    if not now.candidates or now.candidates[-1].phase not in {None, Phase.OFFERED}:
        return None
    return now.candidates[-1]


def _offer_sentence(story: CandidateStory) -> str:
    if story.digest == story.parent:
        return sentence(f"The warm-up offers the base {short(story.digest)}")
    return sentence(f"The learner offers candidate {short(story.digest)}, step {story.step}, on {short(story.parent)}")
