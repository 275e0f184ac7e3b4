"""What a store holds against what it must hold: ring, payloads, outcomes and counters, byte for byte."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import cast

import numpy as np

from contract.store_calls import unsent
from contract.store_world import World
from ol0.records import Decision, Outcome
from ol0.replay.layout import FEEDBACK, Key, store_key
from testbed.comparison import field_of, ring_of
from testbed.reference_store import Closed, Expected


def compare(world: World, expected: Expected) -> None:
    """Ring, payloads, outcomes and counters, byte for byte and one by one."""
    had_closed = {outcome.decision_id for outcome in world.outcomes()}
    compare_published(world, expected.without(world.forgotten, but=had_closed).closed)

    since_rebuild = expected.without(world.forgotten_before_rebuild, but=set())
    expected = since_rebuild.without(world.forgotten, but=had_closed)
    examples = expected.examples()
    assert world.client.get(store_key(world.prefix, Key.ENTRIES)) == ring_of(examples, world.sizes.capacity)

    newest = range(len(examples))[-world.sizes.capacity :]
    live = [number for number in newest if examples[number].decision.user not in world.forgotten]
    payloads = cast("dict[bytes, bytes]", world.client.hgetall(store_key(world.prefix, Key.PAYLOADS)))
    for number in live:
        assert payloads.pop(field_of(examples[number])) == world.pack(examples[number].decision)
    of_windows = [world.payloads.unpack(payload) for payload in payloads.values()]
    assert len(of_windows) == world.store.counters().open
    kept_open = [decision for decision in of_windows if decision.user not in world.forgotten]
    assert sorted(map(str, kept_open)) == sorted(map(str, expected.open))
    priorities = np.frombuffer(cast("bytes", world.client.get(store_key(world.prefix, Key.PRIORITIES))), "<f4")
    assert set(np.flatnonzero(priorities)) == {number % world.sizes.capacity for number in live}
    compare_counters(world, expected, len(examples), len(of_windows))


def compare_published(world: World, closed: Sequence[Closed]) -> None:
    """Numbers without holes, through wipes and rebuilds; and of every decision one outcome."""
    assert sorted(world.published) == list(range(len(closed)))
    for number, it in enumerate(closed):
        assert world.published[number] == (it.decision.session_id.encode(), world.codec.encode(outcome_of(it, number)))
    assert unsent(world.store) is None


def outcome_of(closed: Closed, number: int) -> Outcome:
    """As its definition says: what the decision was, and what became of it."""
    decision = asdict(closed.decision)
    kept = {field.name: decision[field.name] for field in fields(Outcome) if field.name in decision}
    reward = closed.reward
    return Outcome(**kept, sequence=number, reward=reward.value, parts=reward.parts, window_end_ms=closed.deadline_ms)


def compare_counters(world: World, expected: Expected, examples: int, still_open: int) -> None:
    counters = world.store.counters()
    assert counters.imbalances() == []
    records = [source.record for log in world.logs.values() for source in log]
    assert counters.decisions == sum(isinstance(record, Decision) for record in records)
    assert counters.feedback == sum(hasattr(record, "feedback_id") for record in records)
    assert (counters.outcomes, counters.open) == (len(expected.closed), still_open)
    null = sum(closed.reward.value is None for closed in expected.closed)
    assert (counters.null_rewards, counters.capped) == (null, len(expected.closed) - null - examples)
    world.seen["capped"] += counters.capped
    assert (counters.examples, counters.evicted) == (examples, max(0, examples - world.sizes.capacity))
    assert counters.feedback_used == expected.used
    piles = world.client.hvals(store_key(world.prefix, Key.FEEDBACK))
    assert counters.waiting == sum(map(len, piles)) // FEEDBACK.size
    known = set(world.client.zrange(store_key(world.prefix, Key.OPEN), 0, -1))
    known |= set(world.client.zrange(store_key(world.prefix, Key.WAITING), 0, -1))
    assert set(world.client.hkeys(store_key(world.prefix, Key.FEEDBACK))) <= known, (
        "feedback that nothing will ever delete"
    )
