import pytest

from ol0.cli.send import action_of
from ol0.errors import ContractError


def test_a_correction_is_one_number_for_each_part() -> None:
    assert (action_of("3"), action_of("3, 0,1,2")) == ((3,), (3, 0, 1, 2))


@pytest.mark.parametrize("text", ["", "legal", "3;1", "1.5", "3,"])
def test_another_correction_is_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(ContractError, match=r"expected one whole number per part, counted from 0, such as 3"):
        action_of(text)
