"""What fits into a store follows from the features and from the memory that it has."""

import pytest

from ol0.config import Settings
from ol0.replay.budget import FEWEST_OPEN, MIB, MOST_OPEN, Budget

GIB = 1024 * MIB
EXAMPLES = 12_000


@pytest.mark.parametrize("dimension", [384, 826, 827, 1_024, 1_536, 4_096])
def test_a_gibibyte_is_enough_for_vectors_of_any_usual_width_out_of_the_box(dimension: int) -> None:
    budget = Budget.of(Settings(), dimension)
    windows = budget.windows(GIB)
    assert budget.shortage(GIB) is None
    assert 39_000 < windows <= MOST_OPEN
    assert budget.needed_bytes(windows) <= GIB


def test_what_fits_fills_the_store_and_one_more_does_not_fit() -> None:
    budget = Budget(4_096, EXAMPLES, None)
    windows = budget.windows(GIB)
    assert budget.needed_bytes(windows) <= GIB < budget.needed_bytes(windows + 1)


def test_who_says_how_many_gets_them_or_a_refusal() -> None:
    budget = Budget(1_536, EXAMPLES, 200_000)
    assert budget.windows(2 * GIB) == 200_000
    assert budget.shortage(2 * GIB) is None
    assert budget.shortage(GIB) == (
        "the replay store may hold 1,024 MiB (maxmemory), and 12,000 examples and 200,000 open windows of 1,536 "
        "features come to need 1,713 MiB"
    )


def test_where_the_ring_alone_is_too_large_fewer_windows_do_not_help() -> None:
    budget = Budget(40_000, EXAMPLES, None)
    assert f"{FEWEST_OPEN:,} open windows of 40,000 features" in str(budget.shortage(GIB))
    assert budget.windows(GIB) == 0


def test_without_a_limit_everything_fits() -> None:
    assert Budget(40_000, EXAMPLES, None).shortage(0) is None
    assert Budget(40_000, EXAMPLES, None).windows(0) == MOST_OPEN
