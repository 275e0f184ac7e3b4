import uuid
from collections.abc import Callable, Iterator, Sequence

import pytest

from ol0.config import KafkaConfig, Settings, StreamingConfig
from ol0.kafka import topic_admin
from ol0.kafka.consume_loop import ConsumeLoop
from ol0.kafka.lineage import Lineage
from ol0.kafka.ports import Sink
from ol0.records import Record
from ol0.stacks.native import NativeStack


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
    topic_admin.apply(settings, topic_admin.plan(settings))
    return Lineage.of(settings.kafka)


Start = Callable[..., ConsumeLoop]


@pytest.fixture
def start(settings: Settings, lineage: Lineage) -> Iterator[Start]:
    """Starts loops of the feedback service and closes those that a test leaves open."""
    loops: list[ConsumeLoop] = []

    def start_one(
        sink: Sink,
        *,
        member: str | None = "1",
        sources: Sequence[str] = ("decisions",),
        streaming: StreamingConfig = settings.streaming,
        check: Callable[[Record], None] = lambda _: None,
    ) -> ConsumeLoop:
        loop = ConsumeLoop("feedback", member, sources, sink, lineage=lineage, streaming=streaming, check=check)
        loops.append(loop)
        loop.open()
        return loop

    yield start_one
    for loop in loops:
        loop.close()
