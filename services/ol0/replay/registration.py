"""Which logs the store reads: a partition is of one topic, and a topic that is recreated is another one."""

from enum import Enum

from ol0.records import Partition
from ol0.replay.script_runner import Scripts, taken


class Admitted(Enum):
    """What a partition was to the store."""

    KNOWN = b"KNOWN"
    NEW = b"NEW"  # it begins where its log does
    ANEW = b"ANEW"  # the same, of a topic that was deleted and recreated


class Registration:
    """The partitions of one store, each with the id of its topic beside its offset; and how much they may open."""

    def __init__(self, scripts: Scripts, incarnation: str) -> None:
        self._scripts = scripts
        self._incarnation = incarnation

    def admit(self, partition: Partition, topic_id: str, first_offset: int) -> Admitted:
        """Takes a partition in that the store does not know; for one that it knows, looks whether it is the same.

        Args:
            partition: to be claimed.
            topic_id: of its topic; empty where the broker has none: then nothing can be compared.
            first_offset: of its log.

        Raises:
            StoreError: the topic was deleted and recreated; or the store is damaged, out of reach, or another one.
        """
        return self._admit(partition, topic_id, first_offset, "0")

    def begin_anew(self, partition: Partition, topic_id: str, first_offset: int) -> Admitted:
        """The same, as an order: where the topic was recreated, the partition begins where the new log does.

        Its time continues. What was only on the old log is lost; what came from it stays.

        Raises:
            StoreError: the store is damaged, out of reach, or another one.
        """
        return self._admit(partition, topic_id, first_offset, "1")

    def retire(self, partition: Partition) -> None:
        """Forgets a partition that its topic, recreated, has no more. Raises StoreError."""
        taken(self._scripts.call("retire", str(partition)), str(partition))

    def bound(self, max_open: int) -> None:
        """Sets how many windows may be open. Raises StoreError, also where the store is another one by now."""
        taken(self._scripts.call("bound", self._incarnation, max_open), "the bound of open windows")

    def _admit(self, partition: Partition, topic_id: str, first_offset: int, begins_again: str) -> Admitted:
        reply = self._scripts.call("admit", str(partition), self._incarnation, topic_id, first_offset, begins_again)
        return Admitted(taken(reply, f"{partition}, of topic {topic_id}")[0])
