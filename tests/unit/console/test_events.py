"""Server-sent events: a line when there is something new to see."""

import asyncio
from contextlib import closing
from http.client import HTTPConnection

import pytest

from ol0.console.web import events as module
from ol0.console.web.events import RETRY
from unit.console import pictures
from unit.console.browser import Seen, console


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    monkeypatch.setattr(module, "APART_S", 0.02)


def test_a_new_revision_is_an_event_and_the_stream_ends_with_the_console() -> None:
    seen = Seen(pictures.learning().picture())
    with closing(HTTPConnection("127.0.0.1", 0, timeout=10)) as connection:
        with console(seen=seen) as browser:
            connection.port = browser.port
            connection.request("GET", "/events")
            response = connection.getresponse()
            assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
            assert response.readline() == RETRY.splitlines()[0].encode() + b"\n"
            seen.revision = 7
            while not (line := response.readline()).startswith(b"data"):
                pass
            assert line == b"data: 7\n"
        with closing(response):
            assert response.read().strip() == b""


def test_without_news_there_is_an_event_now_and_then_for_ages_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_LEAST_S", 0.03)

    class Still:
        watch = Seen()
        is_closing = staticmethod(lambda: False)

    async def second() -> str:
        stream = module.events(Still())  # type: ignore[arg-type]
        await anext(stream)
        return await anext(stream)

    assert asyncio.run(second()) == "data: 1\n\n"
