from collections.abc import Iterator
from typing import Final

import pytest
from hypothesis import settings

from ol0.stacks.native import NativeStack

# How long an example takes says what else the machine does.
settings.register_profile("ol0", deadline=None)
settings.load_profile("ol0")


LONGEST: Final = (
    "test_lost_topics",
    "test_secured_broker",
    "test_demo",
    "test_release_commands",
    "test_kill_9",
    "test_outages",
    "test_store_faults",
    "test_alerts_of_faults",
    "test_real_sizes",
    "test_compose",
    "test_soak",
    "test_restarts",
    "test_console",
    "test_restored_store",
    "test_own_router",
    "test_group_faults",
)
"""Files that take 40 seconds or more, the longest first: else one worker has one left when the other is done."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begins with the longest files, and leaves the order otherwise as it is."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """One real Kafka and one real Valkey for the whole session.

    Shared: take topics and keys of your own, and leave the servers running. A test that kills or stops one makes
    its own stack: for a while after it, a broker leaves requests of other tests without an answer.
    """
    with NativeStack(tmp_path_factory.mktemp("stack")) as running:
        yield running
