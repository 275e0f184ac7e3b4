import pytest

from ol0.config import OnlineLearningConfig
from ol0.learning.engines import trainer_of
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.learning.values.trainer import ValueTrainer
from unit.learning.learner_world import logged, make_base

BASE = make_base()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ValueTrainer),
        ({"learner": "gradient"}, HeadTrainer),
        ({"profile": "legacy"}, HeadTrainer),
        ({"profile": "legacy", "learner": "values"}, ValueTrainer),
    ],
    ids=str,
)
def test_the_settings_name_the_learner(settings: dict[str, str], expected: type) -> None:
    config = OnlineLearningConfig.model_validate(settings)
    assert type(trainer_of(BASE, logged(BASE, 100), config, 3)) is expected
