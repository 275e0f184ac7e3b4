"""A lineage that lives through everything: logs, a store, workers that come and go, and what they published."""

import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from redis import Redis

from contract.crashes import CrashingScripts, Fate, KilledError
from contract.traffic import ACTIONS, PARTITIONS, Traffic
from ol0.config import StreamingConfig
from ol0.errors import Fenced, Gap, StreamError
from ol0.feedback.handler import FeedbackHandler
from ol0.feedback.join import FeedbackJoin
from ol0.feedback.outbox import Message
from ol0.kafka.ports import Log, SourceRecord
from ol0.records import Decision, Outcome, Partition
from ol0.replay.counters import FeedbackDrop
from ol0.replay.exclusion import Exclusion
from ol0.replay.layout import SCRIPT_KEYS, decision_key, store_key, user_key
from ol0.replay.protocol import Published
from ol0.replay.rebuild import rebuild_store
from ol0.replay.store import ReplayStore
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads

LARGEST_DRAIN = 2_000  # steps
LARGEST_POLL = 40
AT_ONCE = 0.7  # of deliveries
STAMPED, AHEAD_MS = 0.98, 3_000_000
FIRST = min(PARTITIONS, key=str)


class Sizes(NamedTuple):
    """Slots of the ring, and open windows beyond which decisions have to wait."""

    capacity: int
    max_open: int


@dataclass(eq=False)
class Zombie:
    """A worker that was replaced while it held a batch, and does not know."""

    join: FeedbackJoin
    partition: Partition
    records: list[SourceRecord]
    next_offset: int


@dataclass
class Delivered:
    """Messages that are written, and acknowledged at once, at the second question, or never."""

    well: bool = True
    at_once: bool = True

    def done(self) -> bool:
        """Whether they are acknowledged."""
        if not self.well:
            raise StreamError("not acknowledged, but written")
        at_once, self.at_once = self.at_once, True
        return at_once

    def wait(self) -> None:
        """Until they are."""
        while not self.done():
            pass


class World:
    """Every method is one thing that can happen. ``seen`` counts what did.

    ``fates`` are those of the next calls of the store, ``deliveries`` those of the next messages to the outcomes topic.
    ``meanwhile`` is what happens between the next listings of due windows and their commits: a partition is read, or
    (None) another worker takes the first partition over and closes what is due.
    """

    def __init__(self, client: Redis, prefix: str, seed: int, config: StreamingConfig, sizes: Sizes) -> None:
        self.rng = random.Random(seed)
        self.client, self.prefix = client, prefix
        self.config, self.sizes = config, sizes
        self.traffic = Traffic(self.rng)
        self.codec = Codec()
        self.payloads = Payloads(self.codec)
        self.published: dict[int, Message] = {}
        self.seen: Counter[str] = Counter()
        self.fates: deque[Fate] = deque()
        self.deliveries: deque[Fate] = deque()
        self.meanwhile: deque[Partition | None] = deque()
        self.forgotten: set[str] = set()  # users whose tombstones are on the log
        self.forgotten_before_rebuild: set[str] = set()
        self.untold: list[FeedbackJoin] = []  # workers that have not read the newest tombstone
        self.snapshot: list[bytes | None] | None = None
        self.scripts: list[CrashingScripts] = []
        self.owners: dict[Partition, FeedbackJoin] = {}
        self.zombies: list[Zombie] = []
        self.logs: dict[Partition, list[SourceRecord]] = {partition: [] for partition in PARTITIONS}
        self.ends = {partition: self.rng.randrange(3) for partition in PARTITIONS}
        self.positions = dict(self.ends)
        self.starts = {Partition(p.topic, p.number): start for p, start in self.ends.items()}
        self.store = ReplayStore(client, prefix)
        self.store.register(self.starts, *sizes)
        for partition in PARTITIONS:
            self._assign([partition])

    # What hosts, users and the broker do

    def pass_time(self, by_ms: int) -> None:
        for partition, arrival_ms, record in self.traffic.pass_time(by_ms):
            # Now and then the topic is CreateTime, and the time in the log is the writer's.
            is_stamped = self.rng.random() < STAMPED
            time_ms = arrival_ms if is_stamped else arrival_ms + AHEAD_MS
            self.logs[partition].append(SourceRecord(self.ends[partition], time_ms, record, None, is_stamped))
            self.ends[partition] += self.rng.choice([1, 1, 1, 2])  # transaction markers take offsets too

    def tick(self, partitions: Iterable[Partition]) -> None:
        for partition in partitions:
            self.traffic.tick(partition)
        self.pass_time(0)

    # What workers do

    def read(self, partition: Partition, most: int) -> None:
        """The owner polls, and brings what it got into the store."""
        join = self.owners[partition]
        records, next_offset = self._poll(partition, most)
        if not records:
            return
        with self._survived(join, partition, records, next_offset):
            if join.apply(partition, records, next_offset).result():
                self.positions[partition] = next_offset
            else:
                self.seen["full"] += 1

    def close(self, steps: int = LARGEST_DRAIN) -> None:
        """The owner of the first partition closes windows and sends outcomes, until none is left or for some steps."""
        with self._survived(self.owners[FIRST], FIRST, [], self.positions[FIRST]):
            close_windows(self.owners[FIRST], steps)

    def rebalance(self, partition: Partition) -> None:
        """A new worker takes over everything from one that holds a batch, and goes on as if nothing had happened."""
        self._replace(self.owners[partition], partition, *self._poll(partition, LARGEST_POLL))

    def wake(self, zombie: Zombie) -> None:
        """Its batch must not count; windows it may close, as any worker may."""
        with contextlib.suppress(KilledError, Gap, StreamError):
            try:
                zombie.join.apply(zombie.partition, zombie.records, zombie.next_offset).result()
            except Fenced:
                self.seen["fenced"] += 1
            else:
                # A store that went back gives out epochs a second time. Same offset, same batch: the zombie only does
                # the owner's work, and what the store holds shows that.
                self.seen["not fenced"] += not self.seen["failed over"]
            close_windows(zombie.join)

    # What befalls the store

    def take_snapshot(self) -> None:
        self.snapshot = [self.client.dump(key) for key in self.keys()]

    def fail_over(self) -> None:
        """The store goes back to what it was some time ago, as with an older append-only file."""
        assert self.snapshot is not None
        for key, value in zip(self.keys(), self.snapshot, strict=True):
            self.client.delete(key)
            if value is not None:
                self.client.restore(key, 0, value)
        self.snapshot = None
        self.seen["failed over"] += 1

    def rebuild(self, *lost: str) -> None:
        """Keys of the store are lost, and it is made again from the logs; what is published stays published."""
        self.client.delete(*(store_key(self.prefix, name) for name in lost))
        newest, following = None, 0
        if self.published:
            *_, last = self.outcomes()
            newest = Published(last.sequence, last.window_end_ms, decision_key(last.decision_id))
            following = last.sequence + 1
        sizes = self.sizes._asdict()
        rebuild_store(self.client, self.prefix, starts=self.starts, published=newest, next_outcome=following, **sizes)
        self.store.attach()
        self.forgotten_before_rebuild = set(self.forgotten)
        self.snapshot, self.untold = None, []
        self.zombies.clear()
        self.seen["rebuilt"] += 1
        for partition in PARTITIONS:
            self._assign([partition])

    # What an operator does

    def may_forget(self) -> bool:
        """Where there is something to forget, and not while the store is behind what it published.

        Where it went back, his outcomes are on the log with numbers that those of others would now get, which
        ``forget_user`` states as a limit; where it was rebuilt, nothing says which of his windows had closed once more.
        """
        users = [outcome.user for outcome in self.outcomes()]
        counters = self.store.counters()
        is_behind = counters.outcomes < sum(user not in self.forgotten_before_rebuild for user in users)
        return counters.open > 0 and not is_behind

    def order_to_forget(self, user: str) -> None:
        """``ol0 forget``, as far as its order. Workers read it now or later."""
        self.forgotten.add(user)
        self.seen["forgotten"] += 1
        self.untold = list(set(self.owners.values()))
        self.snapshot = None
        for zombie in self.zombies:
            zombie.join.forget(self.forgotten)

    def take_out(self, user: str, between: Callable[[], None]) -> None:
        """The rest of it; ``between`` is what happens between its two halves."""
        exclusion = Exclusion(self.client, self.prefix)

        def matches(payload: bytes) -> bool:
            return self.payloads.unpack(payload).user == user

        windows = exclusion.windows(matches)
        exclusion.forget(windows)
        dropped = self.store.counters().feedback_dropped[FeedbackDrop.FORGOTTEN]
        self.seen["feedback forgotten"] += dropped  # here, for a rebuild begins the counters anew
        # A copy of one of these would open its window once more, without the feedback that went with it, where it is
        # read by somebody who does not know yet: a limit that ``forget_user`` states.
        gone = {decision_key(record.decision_id) for record in self._unread_decisions()}
        if gone & {window[-16:] for window in windows}:
            self.tell()
        between()
        exclusion.exclude(exclusion.examples(matches))

    def tell(self) -> None:
        """Every worker has read the newest tombstone by now."""
        while self.untold:
            self.untold.pop().forget(self.forgotten)

    # Until nothing is left to do

    def drain(self) -> None:
        """Everything that is on the logs gets in, and everything that is due gets out."""
        for line in (self.fates, self.deliveries, self.meanwhile):
            line.clear()
        self.tell()
        if self.seen["failed over"]:  # who reads finds out by GAP; the others by the next tick
            for partition in set(PARTITIONS) - set(self.remaining()):
                self._claim_again(partition)
        steps = 0
        while remaining := self.remaining():
            steps += 1
            assert steps < LARGEST_DRAIN, "the workers do not get on"
            self.read(self.rng.choice(remaining), LARGEST_POLL)
            self.close()
        self.close()

    def remaining(self) -> list[Partition]:
        """Partitions whose logs are not read to their ends."""
        return [partition for partition in PARTITIONS if self._poll(partition, 1)[0]]

    def keys(self) -> list[str]:
        return [store_key(self.prefix, name) for name in SCRIPT_KEYS]

    def pack(self, decision: Decision) -> bytes:
        """What the store keeps of a decision."""
        return self.payloads.pack(decision, user_key(decision.user))

    def outcomes(self) -> list[Outcome]:
        """What is published, by its numbers."""
        return [cast("Outcome", self.codec.decode(value)) for _, (_, value) in sorted(self.published.items())]

    @contextlib.contextmanager
    def _survived(
        self, join: FeedbackJoin, partition: Partition, records: list[SourceRecord], next_offset: int
    ) -> Iterator[None]:
        """What the supervisor and the consume loop make of errors."""
        try:
            yield
        except KilledError:
            self.seen["killed"] += 1
            self._replace(join, partition, records, next_offset)
        except StreamError:
            self.seen["unacknowledged"] += 1
        except Gap:
            self.seen["gap"] += 1
            self._claim_again(partition)

    def _poll(self, partition: Partition, most: int) -> tuple[list[SourceRecord], int]:
        """Records from the position on, and the offset after them."""
        rest = [source for source in self.logs[partition] if source.offset >= self.positions[partition]]
        records = rest[:most]
        return records, records[-1].offset + 1 if records else self.positions[partition]

    def _unread_decisions(self) -> list[Decision]:
        records = [source.record for partition in PARTITIONS for source in self._poll(partition, LARGEST_DRAIN)[0]]
        return [record for record in records if isinstance(record, Decision)]

    def _replace(self, join: FeedbackJoin, partition: Partition, records: list[SourceRecord], next_offset: int) -> None:
        if join in self.untold:
            self.untold.remove(join)
            join.forget(self.forgotten)
        self.zombies.append(Zombie(join, partition, records, next_offset))
        self._assign([owned for owned, owner in self.owners.items() if owner is join])

    def _claim_again(self, partition: Partition) -> None:
        """What the consume loop does after a GAP."""
        with self._survived(self.owners[partition], partition, [], self.positions[partition]):
            self.positions[partition] = self.owners[partition].claim(partition, self._log(partition))

    def _log(self, partition: Partition) -> Log:
        first = self.starts[Partition(partition.topic, partition.number)]
        return Log(f"id of {partition.topic}", first, self.ends[partition])

    def _assign(self, partitions: Sequence[Partition]) -> None:
        """A new worker takes partitions over."""
        join = self._worker()
        for partition in partitions:
            while True:
                with contextlib.suppress(KilledError):
                    self.positions[partition] = join.claim(partition, self._log(partition))
                    break
            self.owners[partition] = join

    def _worker(self) -> FeedbackJoin:
        """A process, as it starts."""
        store = ReplayStore(self.client, self.prefix)
        store.attach(self.store.incarnation)
        self.scripts.append(CrashingScripts(self.client, self.prefix, self.fates, self._interrupt))
        store._scripts = store.exclusion._scripts = self.scripts[-1]
        handler = FeedbackHandler(self.config, 1, (ACTIONS,), self.payloads)
        size, limit = self.rng.choice([1, 4, 50]), self.config.user_rate_limit or 0
        join = FeedbackJoin(store, handler, self._publish, batch_size=size, user_limit=limit)
        join.forget(self.forgotten)
        return join

    def _interrupt(self) -> None:
        if self.meanwhile:
            self.seen["meanwhile"] += 1
            if (partition := self.meanwhile.popleft()) is None:
                self.rebalance(FIRST)
                self.close()
            else:
                self.read(partition, LARGEST_POLL)

    def _publish(self, messages: Sequence[Message]) -> Delivered:
        fate = self.deliveries.popleft() if self.deliveries else Fate.WELL
        if fate is Fate.KILLED_BEFORE:
            raise StreamError("not acknowledged, and not written")
        for key, value in messages:
            number = cast("Outcome", self.codec.decode(value)).sequence
            assert self.published.setdefault(number, (key, value)) == (key, value), "a repeat differs"
        return Delivered(well=fate is Fate.WELL, at_once=self.rng.random() < AT_ONCE)


def close_windows(join: FeedbackJoin, steps: int = LARGEST_DRAIN) -> None:
    """Steps of closing until none is due and none unsent, or so many."""
    join.idle()  # what the step before had found, and may be out of date
    for _ in range(steps - 1):
        if not join.idle():
            return
