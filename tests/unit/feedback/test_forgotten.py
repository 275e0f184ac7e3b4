from dataclasses import replace
from typing import TYPE_CHECKING, cast

from ol0.feedback.forgotten import ForgottenUsers
from ol0.records import OperatorKind, Record
from support.examples import OPERATOR_COMMAND

if TYPE_CHECKING:
    from ol0.kafka.topic_readers.compacted_reader import Change, CompactedReader


class MemoryReader:
    """A topic that holds ``table``, and then changes."""

    def __init__(self, table: dict[str, Record], *changes: "Change") -> None:
        self._table, self._changes = table, list(changes)

    def read_to_end(self, _timeout_s: float) -> dict[str, Record]:
        return self._table

    def poll(self, _timeout_s: float) -> list["Change"]:
        return self._changes


FREEZE = replace(OPERATOR_COMMAND, kind=OperatorKind.FREEZE, value=None)


def follow(table: dict[str, Record], *changes: "Change") -> ForgottenUsers:
    return ForgottenUsers(cast("CompactedReader", MemoryReader(table, *changes)))


def test_of_all_orders_only_those_to_forget_count() -> None:
    users = follow({"forget/5f2b9c": OPERATOR_COMMAND, "freeze": FREEZE})

    assert users.read() == {"5f2b9c"}


def test_news_are_those_who_were_forgotten_since() -> None:
    later = replace(OPERATOR_COMMAND, value="other")
    users = follow({}, ("forget/other", later), ("freeze", FREEZE), ("forget/5f2b9c", None))

    assert users.poll() == {"other"}
