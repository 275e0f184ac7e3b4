import pytest

from ol0.config import Settings
from ol0.errors import StoreError
from ol0.feedback.rebuild import RebuildPlan, rebuild


def test_a_store_whose_feedback_process_runs_is_not_rebuilt_unless_by_force() -> None:
    plan = RebuildPlan({}, None, exists=True, is_owned=True)

    with pytest.raises(StoreError, match=r"stop it first .* 6 s later.*--force"):
        rebuild(Settings(), plan, force=False)
