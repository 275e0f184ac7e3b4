from unittest.mock import Mock

import pytest
from confluent_kafka import KafkaError, KafkaException

from ol0.config import KafkaConfig
from ol0.errors import StreamError
from ol0.kafka.lineage import Lineage
from ol0.kafka.messages import broker_errors, is_usable
from ol0.kafka.rights import Denied, missing_right
from ol0.kafka.sending.acknowledgements import Acknowledgements
from ol0.kafka.transactions import Transactor

TOPIC = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
GROUP = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
TRANSACTIONS = KafkaError(KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
CLUSTER = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
UNSEEN = KafkaError(KafkaError._UNKNOWN_PARTITION)
DOWN = KafkaError(KafkaError._ALL_BROKERS_DOWN)


def test_a_denial_says_operation_kind_and_names_and_another_error_nothing() -> None:
    assert missing_right(TOPIC, "Write", {"b", "a"}).startswith(": Write on topic a or b is missing; docs/operating.md")
    assert missing_right(DOWN, "Write", {"a"}) == ""
    assert "Write on any topic at all" in missing_right(CLUSTER, "Write", {"a"})
    assert "it is not there, or Read on topic a is missing" in missing_right(UNSEEN, "Read", {"a"})


@pytest.mark.parametrize(
    ("error", "right"), [(TOPIC, "Read on topic ol0.decisions.v1"), (GROUP, "Read on group ol0.feedback")]
)
def test_a_consumer_that_may_not_read_ends_with_the_right_that_is_missing(error: KafkaError, right: str) -> None:
    message = Mock(error=lambda: error, topic=lambda: "ol0.decisions.v1")
    with pytest.raises(Denied, match=f"{right} is missing"):
        is_usable(message, "ol0.feedback")


def test_a_question_that_is_denied_says_so_and_asks_for_no_broker_that_is_up() -> None:
    right = r"members: .*: Describe on group ol0\.feedback is missing"
    with pytest.raises(Denied, match=right) as denied, broker_errors("members", "Describe", "ol0.feedback"):
        raise KafkaException(GROUP)
    assert "is the broker up" not in str(denied.value)
    with pytest.raises(StreamError, match="is the broker up"), broker_errors("members", "Describe", "ol0.feedback"):
        raise KafkaException(DOWN)


def test_a_record_that_is_not_taken_names_its_topic() -> None:
    found = Acknowledgements()
    found.take(TOPIC, Mock(topic=lambda: "ol0.decisions.v1"))
    assert "Write on topic ol0.decisions.v1 is missing" in found.reason


@pytest.mark.parametrize(
    ("error", "right"),
    [
        (TOPIC, "Write on topic ol0.state.v1 or ol0.verdicts.v1"),
        (GROUP, "Read on group ol0.drift"),
        (TRANSACTIONS, "Write on transactional id ol0.drift"),
    ],
)
def test_a_transaction_names_what_it_may_not(error: KafkaError, right: str) -> None:
    transactor = Transactor("drift", Lineage.of(KafkaConfig(bootstrap_servers="127.0.0.1:1")).clients)
    transactor._topics, transactor._group = {"ol0.state.v1", "ol0.verdicts.v1"}, "ol0.drift"
    assert f"{right} is missing" in transactor._missing_right(error)
