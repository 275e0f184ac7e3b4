import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from ol0.observability.logs import configure_logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def restored_logs() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_traceback_on_a_terminal_shows_no_local_variables(restored_logs: None) -> None:
    said = Terminal()
    configure_logs("drift", "INFO", said)
    options = {"sasl.password": "geheim"}
    try:
        options["sasl.username"]
    except KeyError:
        structlog.get_logger("ol0").error("failed", exc_info=True)
    assert "KeyError" in said.getvalue()
    assert "geheim" not in said.getvalue()
