"""The two questions that every fault ends in, asked of whole logs with bounded memory.

Does every record add up, and does the store hold what the definition of the join (contract.reference_store) makes of
the logs as Kafka has them, with the append times that it gave them, byte for byte?
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from ol0.config import Settings
from ol0.feedback.service import SOURCES
from ol0.kafka.topic_admin import source_partitions
from ol0.records import Partition
from ol0.replay.connection import connect
from ol0.replay.layout import FIELD_BYTES, Key, store_key
from ol0.replay.store import ReplayStore
from testbed.comparison import ENTRY_BYTES
from testbed.faults.audit_pieces import MOST_BUCKETS, Pieces, Read, side_by_side

HOUR_MS: Final = 3_600_000
ALONE: Final = 200_000
"""Up to so many records one process is done before others have started and imported everything."""
SAID_EVERY: Final = 8
"""Buckets of each process between two lines of progress."""


@dataclass
class Audit:
    """What was found.

    Attributes:
        decisions: good ones on the logs, copies included; likewise ``feedback``.
        closed: windows, by the definition of the join.
        examples: those with a reward, but for what was too much of one user.
        repeated_outcomes: copies on the outcomes topic, each the same as the first.
        problems: empty where everything adds up and every byte is right.
        bad: records that cannot be used, by partition and offset.
    """

    decisions: int
    feedback: int
    closed: int
    examples: int
    repeated_outcomes: int
    problems: list[str]
    bad: list[tuple[Partition, int]]


def say_nothing(_: str) -> None:
    """For whoever does not wait long."""


class Auditor:
    """Looks at a lineage whose processes have stopped and whose windows have all closed.

    Args:
        settings: of the lineage.
        folder: for what does not fit into memory.
        buckets: into so many pieces for each process; there are as many as cores where there is enough to do. Memory is
            that of one piece in each, and of a row for each window.
        say: is told how far it has come.
    """

    def __init__(
        self, settings: Settings, folder: Path, buckets: int = 1, say: Callable[[str], None] = say_nothing
    ) -> None:
        self._settings, self._folder, self._say = settings, folder, say
        self._counters = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix).counters()
        is_small = self._counters.decisions + self._counters.feedback <= ALONE
        self._processes = 1 if is_small else os.cpu_count() or 1
        self._buckets = min(buckets * self._processes, MOST_BUCKETS)
        self._problems: list[str] = []

    def audit(self) -> Audit:
        self._folder.mkdir(parents=True, exist_ok=True)
        pieces = Pieces(self._settings, self._folder, self._readings(), self._buckets)
        read = self._read(pieces)
        stored = self._payload_digests()
        closed, repeated = self._judge(pieces, min(read.watermarks_ms), frozenset(stored))
        in_order = bool((closed["number"] == np.arange(len(closed))).all())
        self._expect("the outcomes are not numbered in the order of closing", in_order)
        examples = closed[self._makes_example(closed)]
        self._compare_counters(read, closed, len(examples))
        self._compare_ring(examples, stored)
        return Audit(read.decisions, read.feedback, len(closed), len(examples), repeated, self._problems, read.bad)

    def _readings(self) -> list[list[Partition]]:
        """All partitions for one process, or one after the other for several: the largest first."""
        names = sorted([*SOURCES, "outcomes"], key=lambda name: name.startswith("feedback"))
        # Those that there are, not those that are declared: somebody may have added some.
        partitions = list(source_partitions(self._settings, names))
        return [partitions] if self._processes == 1 else [[partition] for partition in partitions]

    def _read(self, pieces: Pieces) -> Read:
        """Everything that counts into files."""
        total, readings = Read(), range(len(pieces.readings))
        for done, found in enumerate(side_by_side(self._processes, pieces.read, readings), 1):
            total = total + found
            self._say(f"{done} of {len(readings)} logs read: {total}")
        return total

    def _judge(self, pieces: Pieces, watermark_ms: int, in_store: frozenset[bytes]) -> tuple[NDArray[np.void], int]:
        """All windows in the order of closing, and how many outcomes are copies."""
        judge = partial(pieces.judge, watermark_ms, in_store)
        rows, windows, repeated = [], 0, 0
        for done, found in enumerate(side_by_side(self._processes, judge, range(self._buckets)), 1):
            rows.append(found.rows)
            windows += len(found.rows)
            repeated += found.repeated_outcomes
            self._problems += found.problems
            if done % (SAID_EVERY * self._processes) == 0:
                self._say(
                    f"{done} of {self._buckets} buckets judged, {windows:,} windows, {len(self._problems)} problems"
                )
        closed = np.concatenate(rows)
        return closed[np.argsort(closed["field"], kind="stable")], repeated  # each bucket is in order already

    def _makes_example(self, closed: NDArray[np.void]) -> NDArray[np.bool_]:
        """Those with a reward, but for what is too much of one user in an hour."""
        rewarded: NDArray[np.bool_] = ~np.isnan(closed["reward"])
        limit = self._settings.streaming.user_rate_limit
        if limit is None:
            return rewarded
        of_hour: dict[tuple[int, bytes], int] = {}
        for number in np.flatnonzero(rewarded):
            user = bytes(closed["user"][number])
            if user:  # all zeros, which numpy strips: nobody
                hour_of_user = int(closed["field"][number][:13]) // HOUR_MS, user
                of_hour[hour_of_user] = of_hour.get(hour_of_user, 0) + 1
                rewarded[number] = of_hour[hour_of_user] <= limit
        return rewarded

    def _compare_counters(self, read: Read, closed: NDArray[np.void], examples: int) -> None:
        counters, capacity = self._counters, self._settings.online_learning.replay_size
        self._problems += counters.imbalances()
        null = int(np.isnan(closed["reward"]).sum())
        for name, found, expected in (
            ("decisions", counters.decisions, read.decisions),
            ("feedback", counters.feedback, read.feedback),
            ("open", counters.open, 0),
            ("waiting", counters.waiting, 0),
            ("outcomes", counters.outcomes, len(closed)),
            ("null rewards", counters.null_rewards, null),
            ("examples", counters.examples, examples),
            ("capped", counters.capped, len(closed) - null - examples),
            ("evicted", counters.evicted, max(0, examples - capacity)),
            ("feedback used", counters.feedback_used, int(closed["used"].sum())),
        ):
            self._expect(f"{name}: {found} in the store, {expected} by the logs", found == expected)

    def _payload_digests(self) -> dict[bytes, bytes]:
        """Of the payloads in the store, by field."""
        client, prefix = connect(self._settings.redis), self._settings.kafka.topic_prefix
        payloads = cast("dict[bytes, bytes]", client.hgetall(store_key(prefix, Key.PAYLOADS)))
        return {field: blake2b(payload, digest_size=16).digest() for field, payload in payloads.items()}

    def _compare_ring(self, examples: NDArray[np.void], stored: dict[bytes, bytes]) -> None:
        """Entries, priorities and payloads, byte for byte."""
        client, prefix = connect(self._settings.redis), self._settings.kafka.topic_prefix
        capacity = self._settings.online_learning.replay_size
        newest = np.arange(len(examples))[-capacity:]
        slots = np.zeros(capacity, np.dtype([("field", f"S{FIELD_BYTES}"), ("reward", "<f4")]))
        slots["field"][newest % capacity] = examples["field"][newest]
        slots["reward"][newest % capacity] = examples["reward"][newest]
        assert slots.itemsize == ENTRY_BYTES
        ring = client.get(store_key(prefix, Key.ENTRIES))
        self._expect("the ring is not what the logs say, byte for byte", ring == slots.tobytes())
        priorities = np.frombuffer(cast("bytes", client.get(store_key(prefix, Key.PRIORITIES))), "<f4")
        self._expect("priorities where no example is", set(np.flatnonzero(priorities)) == set(newest % capacity))
        width = f"V{FIELD_BYTES}", "V16"
        fields, digests = (
            np.ascontiguousarray(examples[name][newest]).view(kind)
            for name, kind in zip(("field", "payload"), width, strict=True)
        )
        expected = {field.tobytes(): digest.tobytes() for field, digest in zip(fields, digests, strict=True)}
        self._expect("the payloads are not those of the ring", stored == expected)

    def _expect(self, problem: str, holds: bool) -> None:  # noqa: FBT001 - what is expected
        if not holds:
            self._problems.append(problem)
