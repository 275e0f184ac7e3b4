from hypothesis import given
from hypothesis import strategies as st

from ol0.feedback.outbox import Message, pack_message, unpack_messages


@given(messages=st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=300))))
def test_messages_come_back_as_they_were_put_together(messages: list[Message]) -> None:
    assert list(unpack_messages(b"".join(pack_message(*message) for message in messages))) == messages
