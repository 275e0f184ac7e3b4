from uuid import UUID, uuid4

from ol0.controller.numbering import NUMBERS, Number, Numbering, new_prefix, number_of, numbered_id
from ol0.records import Arm, DecisionId
from ol0.wire.validation import is_canonical_uuid


def test_an_id_says_whose_number_it_is_and_is_a_uuid_whose_layout_is_its_makers() -> None:
    numbering = Numbering()
    for number in (1, 2, 0xABCDEF01, NUMBERS - 1):
        made = numbered_id(new_prefix(numbering.router), number)
        assert is_canonical_uuid(made)
        assert (UUID(made).version, UUID(made).variant) == (8, UUID(int=1 << 63).variant)
        assert number_of(made) == Number(numbering.router, number)


def test_ids_of_others_have_no_number() -> None:
    assert number_of(DecisionId(str(uuid4()))) is None
    assert number_of(DecisionId("00000000-0000-0000-0000-000000000007")) is None
    assert number_of(numbered_id(new_prefix(), 3)) is None


def test_prompts_of_one_router_cannot_be_guessed_from_each_other() -> None:
    assert len({new_prefix("00c0ffee11") for _ in range(1_000)}) == 1_000


def test_numbers_that_run_out_begin_again() -> None:
    assert number_of(numbered_id(new_prefix("00c0ffee11"), NUMBERS + 5)) == Number("00c0ffee11", 5)


def test_every_arm_has_numbers_of_its_own() -> None:
    numbering = Numbering()
    assert [next(numbering.of(arm)) for arm in (Arm.LIVE, Arm.STAGED, Arm.LIVE)] == [1, 1, 2]
