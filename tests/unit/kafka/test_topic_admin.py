from concurrent.futures import Future
from typing import cast

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from ol0.errors import StreamError
from ol0.kafka import topic_admin
from ol0.kafka.topic_changes import CreateTopic

FENCED = "Unable to replicate the partition 1 time(s): All brokers are currently fenced."
TOO_FEW = "Unable to replicate the partition 3 time(s): only 1 broker(s) are registered."


class Cluster:
    """Gives these refusals one after the other, and then does what it is asked."""

    def __init__(self, *refusals: str) -> None:
        self.refusals, self.asked = list(refusals), 0

    def create_topics(self, *_: object, **__: object) -> dict[str, "Future[object]"]:
        answer: Future[object] = Future()
        self.asked += 1
        if self.refusals:
            answer.set_exception(
                KafkaException(KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, self.refusals.pop(0)))
            )
        else:
            answer.set_result(None)
        return {"t": answer}


def create(cluster: Cluster) -> None:
    topic_admin._carry_out(cast("AdminClient", cluster), CreateTopic("t", 1, 1, {}))


def test_a_broker_that_was_too_busy_for_a_heartbeat_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_admin, "AGAIN_S", 0.0)
    cluster = Cluster(FENCED, FENCED)
    create(cluster)
    assert cluster.asked == 3


def test_a_cluster_with_too_few_brokers_is_told_at_once() -> None:
    cluster = Cluster(TOO_FEW)
    with pytest.raises(StreamError, match=r"only 1 broker\(s\) are registered"):
        create(cluster)
    assert cluster.asked == 1
