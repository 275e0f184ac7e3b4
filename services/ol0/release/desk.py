"""Where a person gives orders: what one would do, and what it did."""

from collections.abc import Callable
from time import monotonic
from typing import Final

from pydantic import TypeAdapter, ValidationError

from ol0.config import Settings
from ol0.errors import ConfigError, StreamError
from ol0.records import OperatorCommand, OperatorKind
from ol0.release.life import Life, Move, Rules
from ol0.release.orders import obey
from ol0.streaming.lineage import Lineage
from ol0.streaming.sender import RecordSender
from ol0.streaming.snapshots import assemble_if_whole
from ol0.streaming.table import CompactedReader, apply_changes
from ol0.streaming.writer import READ_TIMEOUT_S, STATE, read_snapshots

SERVICE: Final = "release"
POLL_S: Final = 0.2
EFFECTS: Final[dict[OperatorKind, Callable[[Life, OperatorCommand], bool]]] = {
    OperatorKind.FREEZE: lambda life, _: life.frozen,
    OperatorKind.THAW: lambda life, _: not life.frozen,
    OperatorKind.PIN: lambda life, order: life.frozen and life.live is not None and life.live.digest == order.value,
    OperatorKind.ROLLBACK: lambda life, order: order.value in life.quarantined,
}
"""By what one sees that an order was carried out."""


def read_life(settings: Settings) -> Life:
    """What the release service knows, as of its last transaction.

    Raises:
        ConfigError: it has not written anything in this lineage.
        StreamError: Kafka does not answer, or the snapshot is none.
    """
    snapshot = read_snapshots(SERVICE, Lineage.of(settings.kafka)).get(SERVICE)
    if snapshot is None:
        raise ConfigError(
            f"nothing was released in lineage {settings.kafka.topic_prefix} yet: `ol0 warmup` offers a base, "
            "`ol0 run` judges and releases it"
        )
    return _life(snapshot.body)


def rehearse(life: Life, order: OperatorCommand, settings: Settings) -> list[str]:
    """What an order would change, in words; nothing where all is so already.

    Raises:
        ConfigError: it would be refused, and why.
    """
    rules = Rules.of(settings.safety, settings.online_learning.max_checkpoints)
    after, moves = obey(life, order, rules)
    if after.refused != life.refused and after.refused is not None:
        raise ConfigError(f"{order.kind} would be refused: {after.refused.reason}")
    lines = [_move_words(move) for move in moves]
    if after.frozen != life.frozen:
        lines.append("no candidate goes any further until `ol0 releases thaw`" if after.frozen else "the freeze ends")
    return lines


def give(settings: Settings, order: OperatorCommand, within_s: float) -> Life:
    """Writes an order and waits until the release service has carried it out; returns what it knows then.

    Raises:
        ConfigError: it was refused, and why.
        StreamError: it was not carried out in time, or Kafka refuses.
    """
    lineage = Lineage.of(settings.kafka)
    with CompactedReader(STATE, lineage) as reader:
        # What was so once before is not the effect of this order.
        table = reader.read_to_end(READ_TIMEOUT_S)
        RecordSender(lineage).send_all([order])
        deadline_s = monotonic() + within_s
        while monotonic() < deadline_s:
            for key, record in reader.poll(POLL_S):
                apply_changes(table, [(key, record)])
                stored = assemble_if_whole(SERVICE, table) if key == SERVICE else None
                if stored is None:
                    continue
                life = _life(stored.body)
                if life.refused is not None and (life.refused.time_ms, life.refused.actor) == (
                    order.time_ms,
                    order.actor,
                ):
                    raise ConfigError(f"{order.kind} was refused: {life.refused.reason}")
                if EFFECTS[order.kind](life, order):
                    return life
    raise StreamError(
        f"{order.kind} was written, but the release service has not carried it out within {within_s:g} s: does it run "
        "(`ol0 run`, or `ol0 release`)? The order stands on the operator topic and holds as soon as it does; there is "
        "no need to repeat it"
    )


def _life(body: bytes) -> Life:
    try:
        return TypeAdapter(Life).validate_json(body)
    except ValidationError as error:
        raise StreamError(
            f"the release service's snapshot cannot be read ({error.error_count()} errors): is it of another version?"
        ) from None


def _move_words(move: Move) -> str:
    return f"{move.digest[:12]} (step {move.step}): {move.from_phase or 'new'} -> {move.to_phase}"
