import pytest
from pydantic import SecretStr

from ol0.config import ServingConfig, Settings
from ol0.errors import ConfigError
from ol0.operator.store.exclude import select
from ol0.operator.store.selection import Selection


def test_a_user_is_meant_by_the_name_under_which_the_sdk_stores_him() -> None:
    keyed = Settings(serving=ServingConfig(user_key=SecretStr("of a test")))
    by_name = select(keyed, "ann", None, None)

    assert by_name.pseudonym is not None
    assert by_name.pseudonym != "ann"
    assert by_name == select(Settings(), None, by_name.pseudonym, None)


def test_a_user_is_not_looked_for_under_a_key_that_is_public() -> None:
    with pytest.raises(ConfigError, match=r"serving\.user_key is not set: `ol0 keys host`"):
        select(Settings(), "ann", None, None)


def test_a_time_is_meant_as_it_is_written() -> None:
    assert select(Settings(), None, None, ("1000", "2000")) == Selection(from_ms=1_000, to_ms=2_000)


@pytest.mark.parametrize(("user", "between"), [(None, None), ("ann", ("1", "2"))])
def test_exactly_one_option_has_to_be_given(user: str | None, between: tuple[str, str] | None) -> None:
    with pytest.raises(ConfigError, match="exactly one"):
        select(Settings(), user, None, between)
