from collections.abc import Iterator

import pytest
from hypothesis import settings

from ol0.stacks.native import NativeStack

# How long an example takes says what else the machine does.
settings.register_profile("ol0", deadline=None)
settings.load_profile("ol0")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NativeStack]:
    """One real Kafka and one real Valkey for the whole session.

    Shared: take topics and keys of your own, and leave the servers running. A test that kills or stops one makes
    its own stack: for a while after it, a broker leaves requests of other tests without an answer.
    """
    with NativeStack(tmp_path_factory.mktemp("stack")) as running:
        yield running
