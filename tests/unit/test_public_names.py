import inspect
import subprocess
import sys

import pytest

import ol0


@pytest.mark.parametrize("name", ol0.__all__)
def test_a_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert inspect.getdoc(getattr(ol0, name))


def test_every_public_name_has_a_place() -> None:
    assert sorted(ol0._PLACES) == sorted(ol0.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'OnlineTeacher'"):
        ol0.OnlineTeacher  # noqa: B018 - the look is the test


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    program = "import sys, ol0; print(sorted(name for name in sys.modules if name.startswith('ol0')))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['ol0']"


def test_the_learner_in_process_needs_neither_kafka_nor_redis() -> None:
    program = (
        "import sys\nfrom ol0 import EWCRegularizer, Example, OnlineLearner, OnlineLearningConfig, WarmupManager\n"
        "print([name for name in ('confluent_kafka', 'redis') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
