from typing import TYPE_CHECKING, cast

import pytest

from ol0.errors import StreamError
from ol0.kafka.logs.identities import TopicWatch
from ol0.kafka.logs.questions import Described
from ol0.kafka.ports import Log
from ol0.records import Partition

if TYPE_CHECKING:
    from ol0.kafka.logs.questions import AskedTopics, Asker


class Answer:
    """What a broker said."""

    def __init__(self, **ids: str) -> None:
        self._ids = ids

    def topics(self) -> dict[str, Described]:
        return {topic: Described(topic_id, (0,)) for topic, topic_id in self._ids.items()}


def test_a_topic_with_another_id_is_no_longer_read() -> None:
    watch = TopicWatch(cast("Asker", None))
    watch._logs = {Partition("decisions", 0): Log("old", 0, 5)}

    watch._compare(cast("AskedTopics", Answer(decisions="old", others="new")))
    with pytest.raises(StreamError, match="deleted and recreated"):
        watch._compare(cast("AskedTopics", Answer(decisions="new")))
