import numpy as np
import pytest

from ol0.learning.gradient.ewc import EWCRegularizer, diagonal_fisher
from ol0.learning.parts import Parts, with_bias
from unit.learning.learner_world import SHAPES, as_float64, logged, make_base


@pytest.mark.parametrize("choices", SHAPES, ids=str)
def test_fisher_is_the_mean_over_outcomes_of_the_squared_gradient_of_each_sample(choices: tuple[int, ...]) -> None:
    base, parts = make_base(choices), Parts(choices)
    features = with_bias(as_float64(logged(base, 7)).features)
    heads = 0.3 * parts.stack(base.base).astype(np.float64)
    expected = np.zeros_like(heads)
    probabilities = np.exp(parts.log_softmax(features @ heads))
    for row, probability in zip(features, probabilities, strict=True):
        for part, count in enumerate(choices):
            columns = slice(parts.starts[part], parts.starts[part] + count)
            for outcome in range(count):
                score = np.outer(row, np.eye(count)[outcome] - probability[columns])
                expected[:, columns] += probability[columns][outcome] * score**2 / len(features)
    np.testing.assert_allclose(diagonal_fisher(features, heads, parts), expected)


def test_the_square_of_the_mean_gradient_is_something_else() -> None:
    # At the base the expected gradient is zero, so that variant holds nothing at all; the true one does.
    base, parts = make_base(), Parts((3,))
    assert diagonal_fisher(with_bias(logged(base, 7).features), parts.stack(base.base), parts).min() > 0


def test_ewc_pulls_to_the_base_and_is_silent_there() -> None:
    base, parts = make_base(), Parts((3,))
    heads = parts.stack(base.base)
    ewc = EWCRegularizer.around(heads, with_bias(logged(base, 7).features), parts, 1.0)
    assert ewc.term(heads).value == 0
    assert (np.sign(ewc.term(heads + 1).gradient) >= 0).all()


def test_without_anchors_ewc_holds_nothing() -> None:
    heads = Parts((3,)).stack(make_base().base)
    nobody = np.zeros((0, heads.shape[0]), np.float32)
    assert EWCRegularizer.around(heads, nobody, Parts((3,)), 1.0).term(heads + 1).value == 0
