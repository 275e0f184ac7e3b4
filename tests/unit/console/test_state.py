"""What a lineage is doing, in a word: every state that the page knows."""

import pytest

from ol0.console.observing.picture import Part, Picture
from ol0.console.view.page import page_of
from ol0.console.view.state import State
from support.made_up_run import digest
from unit.console import pictures
from unit.console.pictures import NOON_MS, SETTINGS

STATES = {
    State.READING: (Picture(), "The topics are being read"),
    State.EMPTY: (pictures.empty(), "`ol0 warmup` offers a base"),
    State.LEARNING: (pictures.learning().picture(), "20,021 rewards so far"),
    State.ON_TRIAL: (pictures.on_trial().picture(), f"Candidate {digest('three')[:8]} serves 50.0 % of the sessions"),
    State.RELEASED: (pictures.released().picture(), f"Release {digest('three')[:8]} (step 3) serves"),
    State.ROLLED_BACK: (pictures.rolled_back().picture(), f"Checkpoint {digest('three')[:8]} was taken back"),
    State.FROZEN: (pictures.frozen().picture(), "`ol0 releases thaw`"),
}


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_word_and_a_sentence(state: State) -> None:
    picture, words = STATES[state]
    headline = page_of(picture, SETTINGS, NOON_MS).headline
    assert headline.state is state
    assert words in headline.sentence


def test_a_release_after_a_rollback_is_the_newer_news() -> None:
    story = pictures.rolled_back()
    story.offer("four", 4, NOON_MS - 10_000)
    story.stage("four", 4, NOON_MS - 8_000)
    story.release("four", 4, NOON_MS - 5_000)
    assert page_of(story.picture(), SETTINGS, NOON_MS).headline.state is State.RELEASED


def test_a_broker_that_is_away_is_told_with_since_and_remedy_and_the_last_state_stays() -> None:
    page = page_of(pictures.away(), SETTINGS, NOON_MS)
    (notice,) = page.notices
    assert notice.title == "Kafka does not answer at localhost:9092"
    assert notice.since == "since 2026-11-28 11:56:00Z, 4 min ago"
    assert "`ol0 config check`" in notice.remedy
    assert (page.headline.state, page.headline.is_old) == (State.RELEASED, True)
    assert page.timeline.total == 3


def test_what_the_absent_broker_explains_is_not_told_beside_it() -> None:
    away = pictures.away()
    troubles = (*away.troubles, *pictures.away(Part.LETTERS).troubles, *pictures.away(Part.STORE).troubles)
    picture = pictures.released().picture(troubles=troubles)
    titles = [notice.title for notice in page_of(picture, SETTINGS, NOON_MS).notices]
    assert [title.partition(" at ")[0] for title in titles] == [
        "Kafka does not answer",
        "The replay store does not answer",
    ]
