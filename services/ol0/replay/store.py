"""The join's state and the ring, kept in one Redis hash slot.

Python wrappers around the scripts in ``scripts/``. A script is atomic; a turn is several commands, whose order holds,
but between which others may come. Safe to share between processes, not between threads that need an order.
"""

import math
import secrets
import struct
from collections.abc import Mapping
from typing import Final, cast

from redis import Redis
from redis.exceptions import ResponseError

from ol0.errors import StoreError
from ol0.pending import Pending
from ol0.records import Partition
from ol0.replay.counters import Counters
from ol0.replay.exclusion import Exclusion
from ol0.replay.layout import Key, payload_field, store_key
from ol0.replay.letters import older_meta, rename_letters
from ol0.replay.protocol import (
    APPLIED,
    Applied,
    Arrivals,
    Claim,
    Commit,
    Due,
    DueWindow,
    Exchange,
    Unsent,
)
from ol0.replay.registration import Registration
from ol0.replay.script_runner import (
    Argument,
    Command,
    Scripts,
    refusal,
    refused,
    reply_of,
    store_errors,
    taken,
    text_of,
)

LARGEST_BATCH: Final = 2_000  # as in prelude.lua
COMMITS_AT_ONCE: Final = 4
"""Commits whose outcomes are listed together: sending then keeps up with closing, which needs fewer turns."""


class ReplayStore:
    """The store of one lineage. Call ``register`` or ``attach`` first: they fix the incarnation that calls expect.

    Attributes:
        exclusion: takes examples and open windows out.
    """

    def __init__(self, client: Redis, prefix: str) -> None:
        """Connects nothing yet.

        Args:
            client: from ``connection.connect``.
            prefix: key prefix of the lineage, which is its topic prefix.
        """
        self._client = client
        self._prefix = prefix
        self._scripts = Scripts(client, prefix)
        self.exclusion = Exclusion(client, prefix)
        self._incarnation: str | None = None

    @property
    def incarnation(self) -> str:
        """Random name that the store got when it was made; another one means that it was wiped in between."""
        if self._incarnation is None:
            raise StoreError("call register() or attach() before anything else")
        return self._incarnation

    @property
    def registration(self) -> Registration:
        """Takes partitions in, and bounds what is open. Raises StoreError before ``register`` or ``attach``."""
        return Registration(self._scripts, self.incarnation)

    def register(self, starts: Mapping[Partition, int], capacity: int, max_open: int) -> str:
        """Makes the store where there is none, and takes in partitions that it does not know. Idempotent.

        Args:
            starts: first offset to read, of every source partition; ignored where the store knows the partition.
            capacity: slots of the ring; fixed for the life of the store.
            max_open: of a store that is made; ``Registration.bound`` changes it.

        Returns:
            The incarnation.

        Raises:
            StoreError: the store has another capacity, or is damaged.
        """
        rename_letters(self._client, self._prefix)
        flat = [word for partition, start in starts.items() for word in (str(partition), start)]
        reply = self._scripts.call("register", secrets.token_hex(8), capacity, max_open, *flat)
        incarnation, found = taken(reply, store_key(self._prefix, "*"))
        if _integer(found) != capacity:
            raise StoreError(
                f"the ring has {_integer(found)} slots, online_learning.replay_size says {capacity}: set it back, or "
                "stop the lineage and rebuild the store with `ol0 replay rebuild`"
            )
        self._incarnation = text_of(incarnation)
        return self._incarnation

    def attach(self, expected: str | None = None) -> str:
        """Finds the store as it is.

        Args:
            expected: the incarnation that the caller has worked with; None takes any.

        Returns:
            The incarnation.

        Raises:
            StoreError: there is no store, or another one.
        """
        rename_letters(self._client, self._prefix)
        with store_errors("HGET"):
            found = self._client.hget(store_key(self._prefix, Key.META), "incarnation")
        if found is None:
            raise StoreError(
                f"no replay store under {store_key(self._prefix, '*')}: `ol0 topics apply` makes one; if there was "
                "one, it was wiped, and `ol0 replay rebuild` makes it again from the logs"
            )
        incarnation = text_of(found)
        if expected not in (None, incarnation):
            raise StoreError(
                f"the replay store is {incarnation}, expected {expected}: it was wiped and recreated; "
                "`ol0 replay rebuild` fills it from the logs"
            )
        self._incarnation = incarnation
        return incarnation

    def exists(self) -> bool:
        """Whether there is a store, in whatever state, of this or an earlier version. Changes nothing."""
        with store_errors("EXISTS"):
            return bool(self._client.exists(store_key(self._prefix, Key.META), older_meta(self._prefix)))

    def claim(self, partition: Partition) -> Claim:
        """Takes a partition over; its former owner is fenced from now on.

        Raises:
            StoreError: the partition is not registered, or the store is not the one that was attached to.
        """
        reply = self._scripts.call("claim", str(partition), self.incarnation)
        return Claim(*map(_integer, taken(reply, str(partition))))

    def apply(self, partition: Partition, claim: Claim, next_offset: int, arrivals: Arrivals) -> Pending[Applied]:
        """Takes in the records from ``claim.next_offset`` up to ``next_offset``, exactly once. Does not wait.

        Raises:
            Fenced: from ``result``: another process has the partition by now.
            Gap: from ``result``: the store is at another offset: claim again and seek there.
            StoreError: from ``result``: the store is damaged or wiped; from here or from there: it is out of reach.
        """
        sent = self._scripts.send(
            self._scripts.command(
                "apply",
                str(partition),
                self.incarnation,
                claim.epoch,
                claim.next_offset,
                next_offset,
                arrivals.watermark_ms,
                arrivals.patience_ms,
                arrivals.decision_keys,
                arrivals.deadlines,
                arrivals.targets,
                arrivals.feedback,
                _counts(arrivals.counts),
                *arrivals.payloads,
            )
        )

        def applied() -> Applied:
            (reply,) = sent.result()
            fields = reply_of("apply", reply)
            status = text_of(fields[0])
            if status not in APPLIED:
                raise refusal(fields, f"{partition}, offset {claim.next_offset}, epoch {claim.epoch}")
            return Applied(status)

        return Pending(applied)

    def skip(self, partition: Partition, claim: Claim, to: int) -> None:
        """Goes to another offset of the same log, which no longer has ``claim.next_offset``; counts what is between.

        Raises:
            Fenced, Gap, StoreError: as ``apply``.
        """
        counter = "expired" if to > claim.next_offset else "cut"
        reply = self._scripts.call(
            "skip", str(partition), self.incarnation, claim.epoch, claim.next_offset, to, counter
        )
        taken(reply, f"{partition}, offset {claim.next_offset}, epoch {claim.epoch}")

    def turn(
        self, limit: int, commit: Commit | None = None, sent: Unsent | None = None, *, ask_unsent: bool = True
    ) -> Pending[Exchange]:
        """One exchange: forgets what was sent, closes what was judged, then asks what is to be done.

        Nothing says whether it was this commit that closed the windows: where another process was faster, ``due`` and
        ``unsent`` are what it left.

        Args:
            limit: windows to list at most.
            commit: windows of the turn before.
            sent: outcomes of a turn before, acknowledged by now.
            ask_unsent: whether to list outcomes.

        Raises:
            StoreError: from ``result``: the store is damaged; from here or from there: it is out of reach.
        """
        outbox = store_key(self._prefix, Key.OUTBOX)
        commands: dict[str, Command] = {}
        if sent is not None:  # idempotent, if others trim too
            commands["XTRIM"] = ("XTRIM", outbox, "MINID", f"{sent.last + 1}-0")
        if commit is not None:
            commands["commit"] = self._scripts.command("commit", *_words(commit))
        commands["due"] = self._scripts.command("due", limit)
        if ask_unsent:
            commands["XRANGE"] = ("XRANGE", outbox, "-", "+", "COUNT", COMMITS_AT_ONCE)
        replies = self._scripts.send(*commands.values())

        def found() -> Exchange:
            by_name = dict(zip(commands, replies.result(), strict=True))
            due = self._due(by_name["due"])  # first: of what a damaged store answers, this says the most
            if commit is not None:
                self._committed(by_name["commit"])
            for name, reply in by_name.items():
                if isinstance(reply, ResponseError):
                    raise refused(name, reply)
            return Exchange(due, _unsent(by_name.get("XRANGE", [])))

        return Pending(found)

    def _due(self, reply: object) -> Due:
        fields = taken(reply_of("due", reply), store_key(self._prefix, "*"))
        sequence, next_outcome, frontier, watermark, keys, deadlines, heads, piles, expired = fields
        windows = []
        columns = cast("list[list[bytes]]", [keys, deadlines, heads, piles])
        for key, deadline, head, pile in zip(*columns, strict=True):
            if head is None:
                raise StoreError(f"open window {key.hex()} has no payload: the store is damaged; `ol0 replay rebuild`")
            published = bool(frontier) and payload_field(int(deadline), key) <= cast("bytes", frontier)
            windows.append(DueWindow(key, int(deadline), head, pile or b"", published))
        return Due(_integer(sequence), _integer(next_outcome), _integer(watermark), windows, _integer(expired))

    def _committed(self, reply: object) -> None:
        fields = reply_of("commit", reply)
        if fields[0] not in (b"OK", b"STALE"):
            raise refusal(fields, store_key(self._prefix, "*"))

    def counters(self) -> Counters:
        """All counters, of one moment."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hgetall(store_key(self._prefix, Key.META))
        pipeline.zcard(store_key(self._prefix, Key.OPEN))
        with store_errors("HGETALL"):
            meta, open_windows = pipeline.execute()
        return Counters.parse(meta, open_windows)

    def partitions(self) -> list[str]:
        """Names of all registered partitions, sorted."""
        with store_errors("HKEYS"):
            names = cast("list[bytes]", self._client.hkeys(store_key(self._prefix, Key.WATERMARKS)))
        return sorted(text_of(name) for name in names)


def _words(commit: Commit) -> tuple[Argument, ...]:
    """Arguments of COMMIT."""
    sequence, windows, counts, user_limit = commit
    rewards = [math.nan if window.reward is None else window.reward for window in windows]
    return (
        sequence,
        b"".join(window.decision_key for window in windows),
        struct.pack(f"<{len(rewards)}f", *rewards),
        b"".join(window.user for window in windows),
        user_limit,
        _counts(counts),
        sum(bool(window.outcome) for window in windows),
        b"".join(window.outcome for window in windows),
    )


def _unsent(reply: object) -> Unsent | None:
    """Entries of the outbox as one; None where there are none. Their ids are the numbers of their last outcomes."""
    entries = cast("list[tuple[bytes, tuple[bytes, bytes]]]", reply)
    if not entries:
        return None
    return Unsent(int(entries[-1][0].partition(b"-")[0]), b"".join(outcomes for _, (_, outcomes) in entries))


def _counts(counts: Mapping[str, int]) -> str:
    return ",".join(f"{name}={count}" for name, count in counts.items())


def _integer(value: object) -> int:
    assert isinstance(value, int | bytes)
    return int(value)
