import pytest

from ol0.wire.codec import Codec


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec()
