"""Whatever happens to the workers and to the store, it holds what the definition of the join says."""

import os
from collections import Counter
from collections.abc import Callable
from typing import ClassVar, TypeAlias

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis import Redis

from contract.crashes import APPLY, Fate
from contract.store_comparison import compare
from contract.store_world import LARGEST_DRAIN, LARGEST_POLL, Sizes, World
from contract.traffic import FEEDBACK, PARTITIONS, USERS
from ol0.config import StreamingConfig
from ol0.records import Partition
from ol0.replay.counters import DecisionDrop, FeedbackDrop
from ol0.replay.layout import SCRIPT_KEYS
from testbed.reference_store import reference

TRIALS = int(os.environ.get("OL0_TRIALS", "60"))
SEED = os.environ.get("OL0_SEED")  # none: the same trials every time
SHRINKS = "OL0_SHRINK" in os.environ  # a failure down to the few steps that make it: takes minutes
STEPS = 70
CONFIG = StreamingConfig(reward_window_s=30, allowed_lateness_s=2, early_skew_s=1)
LONG_MS = 400_000  # beyond every window, and the patience of every feedback
UNLIMITED, FEW = 10**6, 4  # windows that may be open
MOST_ORDERS = 3  # to forget somebody: else nobody is left to see other things with
ENOUGH_TO_LOSE = 10  # outcomes
FORGETTABLE = USERS[1:3]  # not the last: limits of a user want one who stays

Fates: TypeAlias = list[Fate]
Interruptions: TypeAlias = list[Partition | None]
Polls: TypeAlias = list[tuple[Partition, int]]
partitions = st.sampled_from(PARTITIONS)
polls = st.lists(st.tuples(partitions, st.sampled_from([1, 2, 7, LARGEST_POLL])), max_size=12)
interruptions = st.lists(st.one_of(st.none(), partitions), max_size=3)
fates = st.lists(st.sampled_from([Fate.WELL, *Fate]), max_size=4)
steps = st.sampled_from([1, 2, 3, LARGEST_DRAIN])  # of closing: it may stop with anything under way
mishaps = st.lists(st.sampled_from([Fate.WELL, Fate.KILLED_BEFORE, Fate.REPLY_LOST]), max_size=3)


class StoreMachine(RuleBasedStateMachine):
    """A rule is one thing that can happen; in the end everything drains, and all that there is gets compared."""

    seen: ClassVar[Counter[str]] = Counter()
    world: World

    def __init__(self, client: Redis, new_prefix: Callable[[], str]) -> None:
        super().__init__()
        self._client, self._new_prefix = client, new_prefix
        self._began = False

    @initialize(
        seed=st.integers(0, 2**32 - 1),
        sizes=st.builds(Sizes, st.sampled_from([5, 20, 64]), st.sampled_from([UNLIMITED, FEW])),
        silent=st.sets(st.sampled_from(FEEDBACK), max_size=2),
        missing_reward=st.sampled_from([None, None, 0.25]),
        user_rate_limit=st.sampled_from([None, 1, 4]),
        min_confidence=st.sampled_from([0.0, 0.3]),
        drains=st.booleans(),
        is_lost_at_last=st.booleans(),
    )
    def begin(
        self,
        seed: int,
        sizes: Sizes,
        silent: set[Partition],
        *,
        drains: bool,
        is_lost_at_last: bool,
        **settings: float | None,
    ) -> None:
        self.world = World(self._client, self._new_prefix(), seed, CONFIG.model_copy(update=settings), sizes)
        self.world.traffic.feedback_homes = [partition for partition in FEEDBACK if partition not in silent]
        # A full store waits for the slowest partition, so its log has to go on: in life, ticks see to that.
        self._drains = drains or sizes.max_open == FEW
        self._is_lost_at_last = is_lost_at_last
        self._began = True

    @rule(decisions=st.integers(1, 12))
    def decide(self, decisions: int) -> None:
        self.world.traffic.decide(decisions)
        self.world.pass_time(5_000)

    @rule(by_ms=st.sampled_from([1_000, 10_000, 40_000]), ticking=st.sets(partitions))
    def pass_time(self, by_ms: int, ticking: set[Partition]) -> None:
        self.world.pass_time(by_ms)
        self.world.tick(sorted(ticking, key=str))

    @rule(polls=polls, fates=fates, deliveries=mishaps, meanwhile=interruptions, told=st.booleans(), steps=steps)
    def work(
        self, polls: Polls, fates: Fates, deliveries: Fates, meanwhile: Interruptions, steps: int, *, told: bool
    ) -> None:
        if told:
            self.world.tell()
        self.world.fates.extend(fates)
        self.world.deliveries.extend(deliveries)
        self.world.meanwhile.extend(meanwhile)
        for partition, most in polls:
            self.world.read(partition, most)
        self.world.close(steps)

    @rule(by_ms=st.sampled_from([5_000, 40_000]))
    def catch_up(self, by_ms: int) -> None:
        """Nothing special: time passes, and workers get on with it."""
        self.world.pass_time(by_ms)
        self.world.tick(PARTITIONS)
        for partition in PARTITIONS:
            self.world.read(partition, LARGEST_POLL)
        self.world.close()

    @rule(partition=partitions)
    def rebalance(self, partition: Partition) -> None:
        self.world.rebalance(partition)

    @precondition(lambda self: self.world.zombies)
    @rule(which=st.integers(0, 100))
    def wake_zombie(self, which: int) -> None:
        self.world.wake(self.world.zombies[which % len(self.world.zombies)])

    @precondition(lambda self: not self.world.untold)
    @rule()
    def take_snapshot(self) -> None:
        self.world.take_snapshot()

    # An outcome that one worker still makes and another one does not would take its number.
    @precondition(lambda self: self.world.snapshot and not self.world.untold)
    @rule()
    def fail_over(self) -> None:
        self.world.fail_over()

    @precondition(lambda self: self.world.seen["forgotten"] < MOST_ORDERS and self.world.may_forget())
    @rule(user=st.sampled_from(FORGETTABLE), dies=st.booleans(), closes_between=st.booleans())
    def forget(self, user: str, *, dies: bool, closes_between: bool) -> None:
        self.world.order_to_forget(user)
        if not dies:  # else it died after its order was acknowledged
            self.world.take_out(user, self.world.close if closes_between else lambda: None)

    @precondition(lambda self: len(self.world.published) >= ENOUGH_TO_LOSE)
    @rule(lost=st.lists(st.sampled_from(SCRIPT_KEYS), min_size=1, unique=True))
    def lose_and_rebuild(self, lost: list[str]) -> None:
        self.world.rebuild(*lost)

    @invariant()
    def every_record_is_accounted_for(self) -> None:
        assert self.world.store.counters().imbalances() == []

    def teardown(self) -> None:
        if self._began:
            self._end(self.world)
            self._client.delete(*self.world.keys())

    def _end(self, world: World) -> None:
        if self._drains:
            world.pass_time(LONG_MS)
            world.tick(PARTITIONS)
        world.drain()
        compare(world, reference(world.logs, world.config))
        for script, first, again in (repeat for scripts in world.scripts for repeat in scripts.repeats):
            if script == APPLY and status(first) in (b"OK", b"DUP"):
                assert status(again) == b"DUP"
                self.seen["repeated"] += 1
        counters = world.store.counters()
        self.seen.update(world.seen)
        self.seen.update({f"decisions {reason}": count for reason, count in counters.decisions_dropped.items()})
        self.seen.update({f"feedback {reason}": count for reason, count in counters.feedback_dropped.items()})
        if self._is_lost_at_last:
            world.rebuild(*SCRIPT_KEYS)
            world.drain()
            compare(world, reference(world.logs, world.config))


def status(reply: object) -> object:
    """The first word of a script's reply."""
    return reply[0] if isinstance(reply, list) else reply


def test_the_store_holds_what_the_definition_says(client: Redis, new_prefix: Callable[[], str]) -> None:
    StoreMachine.seen.clear()
    settings = hypothesis.settings(
        max_examples=TRIALS,
        stateful_step_count=STEPS,
        derandomize=SEED is None,
        database=None,
        phases=[Phase.generate, Phase.shrink] if SHRINKS else [Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    class Machine(StoreMachine):
        def __init__(self) -> None:
            super().__init__(client, new_prefix)

    run_state_machine_as_test(hypothesis.seed(SEED)(Machine) if SEED else Machine, settings=settings)

    # Trials in which nothing happened prove nothing.
    happened = {"killed", "fenced", "full", "gap", "failed over", "unacknowledged", "repeated", "meanwhile"}
    happened |= {"forgotten", "rebuilt", "capped"}
    happened |= {f"decisions {reason}" for reason in DecisionDrop if reason is not DecisionDrop.OVERSIZED}
    rare = {FeedbackDrop.EXCESS, FeedbackDrop.OVERSIZED}
    happened |= {f"feedback {reason}" for reason in FeedbackDrop if reason not in rare}
    assert {name for name in happened if not StoreMachine.seen[name]} == set()
    assert not StoreMachine.seen["not fenced"]
