import uuid

import pytest

from ol0.replay.layout import FEEDBACK, FeedbackEntry, decision_key, feedback_key, source_key


def test_a_decision_is_kept_by_the_bytes_of_its_uuid() -> None:
    text = str(uuid.uuid4())
    assert decision_key(text) == uuid.UUID(text).bytes


@pytest.mark.parametrize("text", ["", "session-7", "00000000-0000-0000-0000-0000000000"])
def test_a_decision_id_that_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"UUID|hexadecimal"):
        decision_key(text)


def test_an_entry_takes_48_bytes_and_comes_back() -> None:
    entries = [FeedbackEntry(feedback_key(name), source_key("user"), 1e12, 1e12 + 1, 0.5, 2**32 - 1) for name in "ab"]
    pile = b"".join(entry.pack() for entry in entries)

    assert FEEDBACK.size == 48
    assert list(FeedbackEntry.unpack_pile(pile)) == entries


def test_sources_of_two_names_do_not_run_into_each_other() -> None:
    assert source_key("ab", "c") != source_key("a", "bc")
