from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ol0.controller.numbering import Number
from ol0.records import Arm
from ol0.statistics.losses import FAR, MOST_ROUTERS, SLACK_MS, ArmLosses, Losses
from ol0.statistics.outcome_clock import OutcomeClock
from unit.statistics.stored import dumped, restored

SHARE = 0.25
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Made:
    """One decision: whose, when, and whether it is lost."""

    router: str
    arm: Arm
    number: int
    end_ms: int
    lost: bool


def hear(losses: Losses, one: Made, now_ms: int, *, counted: bool = True) -> None:
    losses.hear(
        Number(one.router, one.number),
        one.arm,
        treated=one.arm is Arm.STAGED,
        treated_share=SHARE,
        end_ms=one.end_ms,
        now_ms=now_ms,
        counted=counted,
    )


def by_number(numbers: Sequence[int], *, router: str = "a", arm: Arm = Arm.LIVE) -> Losses:
    """What was heard of one arm, a minute apart."""
    losses = Losses()
    for place, number in enumerate(numbers):
        hear(losses, Made(router, arm, number, place * 60_000, lost=False), place * 60_000)
    return losses


decisions = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from([Arm.LIVE, Arm.STAGED]), st.booleans(), st.integers(0, 3)),
    max_size=120,
)


@given(decisions, st.randoms(use_true_random=False))
def test_missing_is_what_was_lost_between_the_first_and_the_last_that_came(
    drawn: list[tuple[str, Arm, bool, int]], draw: Random
) -> None:
    """Over four partitions that are read at their own pace, and with a restart at any moment."""
    made: list[Made] = []
    counts: dict[tuple[str, Arm], int] = {}
    for place, (router, arm, lost, _) in enumerate(drawn):
        number = counts[router, arm] = counts.get((router, arm), 0) + 1
        made.append(Made(router, arm, number, place * 300, lost))
    heard = [(sequence, one) for sequence, one in enumerate(one for one in made if not one.lost)]
    partitions = [[pair for pair in heard if pair[1].end_ms // 300 % 4 == part] for part in range(4)]

    clock, losses = OutcomeClock(patience_ms=DAY_MS), Losses()
    while any(partitions):
        sequence, one = draw.choice([part for part in partitions if part]).pop(0)
        clock.take(sequence, one.end_ms)
        hear(losses, one, clock.now_ms or 0)
        if draw.random() < 0.1:
            losses = restored(losses)
    # One more of each, much later: everything before it has come, or never will.
    for (router, arm), number in counts.items():
        for later in (1, 2):
            hear(losses, Made(router, arm, number + later, DAY_MS * later, lost=False), DAY_MS * later + 2 * SLACK_MS)

    for arm in (Arm.LIVE, Arm.STAGED):
        expected = 0
        for router in "abc":
            mine = [one for one in made if (one.router, one.arm) == (router, arm)]
            came = [one.number for one in mine if not one.lost]
            first = min(came, default=len(mine) + 1)
            expected += sum(one.lost for one in mine if one.number > first)
        assert losses.arms[arm is Arm.STAGED].missing == expected


def test_what_is_under_way_is_not_missing() -> None:
    losses = Losses()
    for number in (1, 2, 9):
        hear(losses, Made("a", Arm.LIVE, number, 1_000 * number, lost=False), now_ms=2_000)  # another partition waits
    assert losses.arms[0].missing == 0
    for number in (3, 4, 5, 6, 8):
        hear(losses, Made("a", Arm.LIVE, number, 1_000 * number, lost=False), now_ms=1_000 * number)
        assert losses.arms[0].missing == 0
    hear(losses, Made("a", Arm.LIVE, 10, 20_000, lost=False), now_ms=20_000)
    assert losses.arms[0].missing == 1  # the seventh


def test_numbers_of_one_moment_may_come_in_any_order() -> None:
    losses = Losses()
    for number in (2, 1, 5, 3, 4, 8, 6, 7):
        hear(losses, Made("a", Arm.LIVE, number, 1_000, lost=False), now_ms=1_000)
        assert losses.arms[0].missing == 0


def test_what_does_not_count_is_heard_and_begins_nothing() -> None:
    losses = Losses()
    for number, counted in ((1, False), (2, False), (3, True), (4, False), (5, True), (7, True), (8, True)):
        now_ms = 60_000 * number
        hear(losses, Made("a", Arm.LIVE, number, now_ms, lost=False), now_ms, counted=counted)
    assert (losses.arms[0].missing, losses.arms[0].heard, losses.arms[0].beginnings) == (1, 5, 1)


def test_a_number_far_off_is_another_beginning() -> None:
    arm = by_number([1, 2, 3, FAR + 10, FAR + 11, FAR + 13, FAR + 14, 1, 2]).arms[0]
    assert (arm.missing, arm.beginnings) == (1, 3)


def test_of_too_many_routers_the_most_silent_begins_anew() -> None:
    losses = Losses()
    for place in range(2 * MOST_ROUTERS):
        for number in (1, 2):
            hear(losses, Made(f"{place}", Arm.LIVE, number, 0, lost=False), 0)
    assert len(losses.routers) == MOST_ROUTERS
    assert len(dumped(losses)) < 30_000
    hear(losses, Made("0", Arm.LIVE, 900, DAY_MS, lost=False), DAY_MS)
    hear(losses, Made("0", Arm.LIVE, 901, DAY_MS + 60_000, lost=False), DAY_MS + 60_000)
    assert (losses.arms[0].missing, losses.arms[0].beginnings) == (0, 2 * MOST_ROUTERS + 1)


@pytest.mark.parametrize(
    ("arm", "complete"),
    [
        (ArmLosses(heard=100, beginnings=10), True),
        (ArmLosses(heard=99, beginnings=10), False),
        (ArmLosses(heard=149, beginnings=10, unnumbered=1), False),
        (ArmLosses(heard=150, beginnings=10, unnumbered=1), True),
        (ArmLosses(), False),
    ],
)
def test_numbers_are_complete_where_few_decisions_can_be_lost_unseen(arm: ArmLosses, complete: bool) -> None:  # noqa: FBT001 - a table
    assert arm.is_complete is complete


def test_the_ends_of_a_router_are_taken_to_lose_as_its_middle_does() -> None:
    rng, shares = Random(0), []
    for _ in range(200):
        heard, missing = 0, 0
        for _ in range(5):
            came = [number for number in range(40) if rng.random() < 0.7]
            heard, missing = heard + len(came), missing + came[-1] - came[0] + 1 - len(came)
        shares.append(ArmLosses(heard, 0, missing, 5).share)
    assert sum(shares) / len(shares) == pytest.approx(0.3, abs=0.01)


def played(seed: int, *, decisions: int, outage: float = 0.0, failures: float = 0.0, routers: int = 8) -> Losses:
    """Sessions of three decisions, 3 seconds apart.

    Args:
        seed: of everything.
        decisions: how many are made.
        outage: share of the time in which nothing comes, in stretches of 300 decisions.
        failures: share of the candidate's decisions that are lost.
        routers: how many there are.
    """
    draw, losses, counts = Random(seed), Losses(), dict[tuple[str, Arm], int]()
    for place in range(decisions):
        if not place % 3:
            arm, router = Arm.STAGED if draw.random() < SHARE else Arm.LIVE, f"{draw.randrange(routers)}"
        if not place % 300:
            down = draw.random() < outage
        number = counts[router, arm] = counts.get((router, arm), 0) + 1
        if not down and not (arm is Arm.STAGED and draw.random() < failures):
            hear(losses, Made(router, arm, number, 3_000 * place, lost=False), 3_000 * place)
    return losses


def test_losses_that_do_not_depend_on_the_arm_are_left_alone() -> None:
    found = [played(seed, decisions=9_000, outage=0.3).rejects(0.05) for seed in range(100)]
    assert sum(found) <= 5


@pytest.mark.parametrize("failures", [0.1, 0.3])
def test_losses_of_one_arm_are_found(failures: float) -> None:
    losses = played(1, decisions=9_000, failures=failures)
    assert losses.rejects(0.001)
    assert losses.excess == pytest.approx(failures, abs=0.03)
    assert "numbered decisions are missing in the arm, 0 of" in losses.words()
