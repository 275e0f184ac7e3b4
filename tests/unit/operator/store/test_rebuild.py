import pytest

from ol0.config import Settings
from ol0.errors import StoreError
from ol0.operator.store.rebuild import RebuildPlan, next_number, rebuild
from ol0.replay.protocol import Published


def test_a_store_whose_feedback_process_runs_is_not_rebuilt_unless_by_force() -> None:
    plan = RebuildPlan({}, None, 0, exists=True, is_owned=True)

    with pytest.raises(StoreError, match=r"stop it first .* 6 s later.*--force"):
        rebuild(Settings(), plan, force=False)


NEWEST = Published(41, 1_000, b"k" * 16)


@pytest.mark.parametrize(
    ("newest", "logs", "number"),
    [
        (None, [(0, 0), (0, 0)], 0),  # there never was an outcome
        (NEWEST, [(0, 30), (5, 25)], 42),  # copies and all: the newest one is there
        (NEWEST, [(0, 30), (0, 0)], 42),  # one partition never had any
        (NEWEST, [(0, 30), (25, 25)], 55),  # one has lost its end, and newer ones may have been there
        (NEWEST, [(3, 10), (4, 4)], 42),  # numbers began higher once before
        (None, [(70, 70), (80, 80)], 150),  # all have expired
    ],
)
def test_outcomes_are_numbered_above_every_number_that_was_ever_given(
    newest: Published | None, logs: list[tuple[int, int]], number: int
) -> None:
    assert next_number(newest, logs) == number
