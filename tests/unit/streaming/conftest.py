import pytest

from ol0.streaming.codec import Codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec()
