import itertools
import uuid
from collections.abc import Callable

import pytest

from ol0.config import KafkaConfig, Settings, StreamingConfig
from ol0.soak.stacks.native import NativeStack
from ol0.streaming import admin
from ol0.streaming.lineage import Lineage


@pytest.fixture
def settings(stack: NativeStack) -> Settings:
    """A lineage of its own, one partition for each topic: what is written in order is read in order."""
    names = ("decisions", "feedback.user", "feedback.tool", "feedback.implicit", "outcomes")
    return Settings(
        kafka=KafkaConfig(
            bootstrap_servers=stack.bootstrap_servers,
            topic_prefix=f"t{uuid.uuid4().hex[:8]}",
            partitions=dict.fromkeys(names, 1),
        ),
        streaming=StreamingConfig(clock="ticks", batch_wait_s=0.05),
    )


@pytest.fixture
def lineage(settings: Settings) -> Lineage:
    """The same lineage, with its topics made."""
    admin.apply(settings, admin.plan(settings))
    return Lineage.of(settings.kafka)


@pytest.fixture
def clock() -> Callable[[], int]:
    """A clock that moves on by a second whenever somebody looks at it."""
    return itertools.count(1_700_000_000_000, 1_000).__next__
