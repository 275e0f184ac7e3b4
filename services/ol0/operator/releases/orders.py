"""Where a person gives orders: what one would do, and what it did."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import reduce
from time import monotonic
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ol0.config import Settings
from ol0.errors import ConfigError, StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.snapshots import Stored, assemble_if_whole, next_offsets
from ol0.kafka.topic_readers.compacted_reader import CompactedReader, apply_changes
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.kafka.transactional_writer import READ_TIMEOUT_S, STATE, read_stored
from ol0.operator.releases.history import READ_S
from ol0.records import OperatorCommand, OperatorKind, Partition, short
from ol0.release.orders import obey
from ol0.release.state import Move, ReleaseState, Rules

SERVICE: Final = "release"
OPERATOR: Final = "operator"
POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class CurrentState:
    """What the release service knows, as of its last transaction, and the orders that it had not obeyed by then."""

    state: ReleaseState
    waiting: tuple[OperatorCommand, ...] = ()


def read_current_state(settings: Settings) -> CurrentState:
    """The state before an order.

    Raises:
        ConfigError: the release service has not written anything in this lineage.
        StreamError: Kafka does not answer, or the snapshot cannot be read.
    """
    stored = read_stored(SERVICE, Lineage.of(settings.kafka))
    if stored is None:
        raise ConfigError(
            f"nothing was released in lineage {settings.kafka.topic_prefix} yet: `ol0 warmup` offers a base, "
            "`ol0 run` judges and releases it"
        )
    state = _state(stored.body)
    if stored.where is None:  # an earlier version wrote it: the waiting orders are unknown
        return CurrentState(state)
    with closing(LogReader(settings, [OPERATOR], _places(stored))) as reader:
        orders = [it for it in reader.to_the_end(READ_S) if isinstance(it, OperatorCommand)]
    return CurrentState(state, tuple(order for order in orders if order.kind is not OperatorKind.FORGET))


def rehearse(current: CurrentState, order: OperatorCommand, settings: Settings) -> list[str]:
    """What an order would change, in words, once those that wait are obeyed; nothing where all is so already.

    Raises:
        ConfigError: it would be refused, and why.
    """
    rules = Rules.of(settings.safety, settings.online_learning.max_checkpoints)
    state = reduce(lambda state, earlier: obey(state, earlier, rules)[0], current.waiting, current.state)
    if order.kind is OperatorKind.ROLLBACK and order.value in state.quarantined:
        return []
    after, moves = obey(state, order, rules)
    if after.refused != state.refused and after.refused is not None:
        raise ConfigError(f"{order.kind} would be refused: {after.refused.reason}")
    lines = [_move_text(move) for move in moves]
    if after.frozen != state.frozen:
        lines.append("all candidates stop until `ol0 releases thaw`" if after.frozen else "the freeze ends")
    return lines


def give(settings: Settings, order: OperatorCommand, within_s: float) -> ReleaseState:
    """Writes an order and waits until the release service has carried it out; returns what it knows then.

    Raises:
        ConfigError: it was refused, and why.
        StreamError: it was not carried out in time, or Kafka refuses.
    """
    lineage = Lineage.of(settings.kafka)
    topic, partitions = lineage.topics.full(OPERATOR), range(lineage.topics.spec(OPERATOR).partitions)
    with CompactedReader(STATE, lineage) as reader:
        table = reader.read_to_end(READ_TIMEOUT_S)
        RecordSender(lineage).send_all([order])
        bounds = lineage.clients.bounds(topic, partitions, READ_TIMEOUT_S)
        ends = {Partition(topic, number): end for number, (_, end) in bounds.items()}  # the order is before one of them
        deadline_s = monotonic() + within_s
        while monotonic() < deadline_s:
            for key, record in reader.poll(POLL_S):
                apply_changes(table, [(key, record)])
                stored = assemble_if_whole(SERVICE, table) if key == SERVICE else None
                # What is so may have been so before: only how far the service has read says that it has obeyed.
                if stored is None or any(_places(stored).get(place, 0) < end for place, end in ends.items()):
                    continue
                state = _state(stored.body)
                if state.refused is not None and (state.refused.time_ms, state.refused.actor) == (
                    order.time_ms,
                    order.actor,
                ):
                    raise ConfigError(f"{order.kind} was refused: {state.refused.reason}")
                return state
    raise StreamError(
        f"{order.kind} was written, but the release service has not carried it out within {within_s:g} s: does it run "
        "(`ol0 run`, or `ol0 release`)? The order is on the operator topic and takes effect as soon as it does; do "
        "not repeat it"
    )


def _places(stored: Stored) -> Mapping[Partition, int]:
    """The next offset that the service was to read, of every partition."""
    return {} if stored.where is None else next_offsets(stored.where.topics)


def _state(body: bytes) -> ReleaseState:
    try:
        return TypeAdapter(ReleaseState).validate_json(body)
    except ValidationError as error:
        raise StreamError(
            f"the release service's snapshot cannot be read ({error.error_count()} errors): is it of another version?"
        ) from None


def _move_text(move: Move) -> str:
    return f"{short(move.digest)} (step {move.step}): {move.from_phase or 'new'} -> {move.to_phase}"
