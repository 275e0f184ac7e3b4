"""ReleaseHandler: the only writer of what serves."""

from collections.abc import Sequence
from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from ol0.config import SafetyConfig
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.chunks import chunks_of
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import ContractError
from ol0.records import Candidate, Chunk, OperatorCommand, Record, Transition, Verdict
from ol0.release.machine import judge, offer
from ol0.release.orders import obey
from ol0.release.state import ReleaseState, Rules, Step, serving_state
from ol0.wire.validation import cut


class ReleaseHandler:
    """Turns candidates, verdicts and orders into the serving state. Pure: same records in, same states out.

    Every change of the serving state is written whole, with the next sequence; every step of a checkpoint becomes a
    Transition that carries its cause. Chunks that nothing refers to any more are deleted in the same transaction. All
    time comes from the records.

    Args:
        config: stages (of which a trial keeps the share that it has), cooldown, failures that freeze.
        max_checkpoints: releases to which one can go back, the live one among them.
        keys: whose signatures it believes.
        opener: opens checkpoints.
    """

    def __init__(
        self, config: SafetyConfig, max_checkpoints: int, keys: Keyring = OPEN, opener: Opener = read_checkpoint
    ) -> None:
        self._keys = keys
        self._opener = opener
        self._rules = Rules.of(config, max_checkpoints)
        self._adapter = TypeAdapter(ReleaseState)
        self._state = ReleaseState()
        self._body: bytes | None = None

    @property
    def state(self) -> ReleaseState:
        """The present state, immutable."""
        return self._state

    def handle(self, record: Record) -> Sequence[Record]:
        """The new serving state, if it changed, the transitions that led to it, and deletions of chunks.

        Raises:
            SignatureError: a candidate or verdict without a trusted signature; it is ignored.
        """
        before = self._state
        outputs = self._respond(record)
        return (*outputs, *_deletions(before, self._state, record))

    def _respond(self, record: Record) -> Sequence[Record]:
        match record:
            case Candidate():
                self._keys.check(record)
                return self._publish(offer(self._state, record, self._rules, self._opener), record.time_ms)
            case Verdict():
                self._keys.check(record)
                return self._publish(judge(self._state, record, self._rules), record.time_ms)
            case OperatorCommand():
                return self._publish(obey(self._state, record, self._rules), record.time_ms)
            case _:
                return ()

    def snapshot(self) -> bytes:
        """The state in JSON, the very same bytes object as long as nothing changes.

        A state holds up to 13 checkpoints (base, live, trial, history): 560 kB with heads of 33 kB. It changes some
        dozens of times a day, not with every batch; so ticks cost nothing, and a loop that compares need not write.
        """
        if self._body is None:
            self._body = self._adapter.dump_json(self._state)
        return self._body

    def restore(self, body: bytes) -> None:
        """Takes back what ``snapshot`` returned.

        Raises:
            ContractError: the body cannot be read, or its trial has no share and a stage that the config lacks.
        """
        try:
            state = self._adapter.validate_json(body)
        except ValidationError as error:
            raise ContractError(f"no snapshot of release: {error.error_count()} errors, {error.errors()[0]}") from None
        if state.trial is not None and state.trial.share is None and state.trial.stage > len(self._rules.shares):
            stages = len(self._rules.shares)
            raise ContractError(f"the trial is at stage {state.trial.stage}, safety.stages has {stages}: put it back")
        self._state, self._body = state, body

    def _publish(self, step: Step, time_ms: int) -> Sequence[Record]:
        state, moves = step
        serving = serving_state(state, self._rules)
        changed = serving is not None and serving != serving_state(self._state, self._rules)
        if changed:
            state = replace(state, sequence=state.sequence + 1, time_ms=time_ms)
        if state != self._state:
            self._state, self._body = state, None
        transitions = tuple(
            Transition(move.digest, move.from_phase, move.to_phase, cut(move.cause), time_ms, state.sequence, move.step)
            for move in moves
        )
        latest = serving_state(state, self._rules)
        return (latest, *transitions) if changed and latest is not None else transitions


def _deletions(before: ReleaseState, after: ReleaseState, record: Record) -> Sequence[Chunk]:
    """Of chunks that this record or the state before it needed and the state after it does not.

    Those of a candidate that was turned away are among them. Its learner writes the next one only after it knows.
    """
    offered = chunks_of(record.heads) if isinstance(record, Candidate) else ()
    if after is before and not offered:
        return ()
    return [Chunk(digest, b"") for digest in sorted({*before.chunks(), *offered} - after.chunks())]
