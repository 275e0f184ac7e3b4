from dataclasses import dataclass
from itertools import count
from typing import cast

from confluent_kafka.admin import AdminClient

from ol0.kafka.logs.questions import Asker, Repeated, Which
from ol0.records import Partition
from unit.kafka.logs.test_holdups import Broker


@dataclass
class Asked:
    number: int
    answered: bool = False


def test_questions_are_asked_one_after_the_other_and_each_is_answered_once() -> None:
    numbers, asked = count(), list[Asked]()

    def ask() -> Asked:
        asked.append(Asked(next(numbers)))
        return asked[-1]

    questions = Repeated[Asked](0)
    assert questions.answered(ask) is None, "it has only asked"
    assert questions.answered(ask) is None, "and waits, without asking more"
    asked[0].answered = True
    assert questions.answered(ask) is asked[0]
    assert questions.answered(ask) is None
    assert len(asked) == 2


def test_there_is_a_pause_before_the_first_question_after_an_answer_and_where_there_was_nothing_to_ask() -> None:
    later, often, never = Repeated[Asked](0, first_s=60), Repeated[Asked](60), Repeated[Asked](60)
    calls = list[str]()

    def ask(name: str, asked: Asked | None) -> Asked | None:
        calls.append(name)
        return asked

    for _ in range(4):
        later.answered(lambda: ask("later", Asked(0)))
        often.answered(lambda: ask("often", Asked(0, answered=True)))
        never.answered(lambda: ask("never", None))
    assert calls == ["often", "never"]


def test_a_client_is_replaced_once_however_many_answers_are_errors() -> None:
    asker = Asker(lambda: cast("AdminClient", Broker()))
    first, places = asker.admin, [Partition("t", number) for number in (0, 1, 1, 2)]

    assert asker.offsets(Which.END, places[:1]).known() == {places[0]: 5}
    assert asker.admin is first

    earlier, later = (asker.offsets(Which.END, places) for _ in range(2))
    assert earlier.known()[places[1]] is None
    second = asker.admin
    assert second is not first

    assert later.known()[places[1]] is None, "asked by the first one"
    assert asker.admin is second
