"""A console on a port of its own, and a browser without JavaScript."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from urllib.parse import urlencode

from ol0.console.decisions.search import Bounds, Found, canonical
from ol0.console.observing.picture import Picture
from ol0.console.orders import Done, Rehearsal, Wish
from ol0.console.web.access import Access
from ol0.console.web.app import make_app
from ol0.console.web.desk import Desk
from ol0.console.web.server import listen, running
from unit.console.pictures import NOON_MS, SETTINGS

TOKEN = "a token that is long enough"  # noqa: S105 - of the tests
CHANGES = ("0123456789ab (step 3): live -> quarantined",)


@dataclass
class Seen:
    """Stands for the thread that watches."""

    picture: Picture = field(default_factory=Picture)
    revision: int = 1


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: Mapping[str, str]


@dataclass
class Browser:
    """Keeps the cookie that it was given."""

    port: int
    cookie: str = ""

    def get(self, path: str, host: str | None = None) -> Answer:
        return self._ask("GET", path, None, host)

    def post(self, path: str, **fields: str) -> Answer:
        return self._ask("POST", path, urlencode(fields), None)

    def sign_in(self, token: str = TOKEN) -> Answer:
        return self.post("/sign-in", token=token)

    def form_word(self) -> str:
        """What the forms of this session hold."""
        return self.get("/").text.partition('name="form" value="')[2].partition('"')[0]

    def _ask(self, method: str, path: str, body: str | None, host: str | None) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = {"Host": host or f"127.0.0.1:{self.port}", "Cookie": self.cookie, "Connection": "close"}
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = Answer(response.status, response.read().decode(), dict(response.getheaders()))
        finally:
            connection.close()
        if (cookie := answer.headers.get("set-cookie")) is not None:
            self.cookie = cookie.partition(";")[0]
        return answer


@dataclass
class Orders:
    """Stands for the functions of `ol0 releases`; keeps what was given."""

    changes: tuple[str, ...] = CHANGES
    given: list[Wish] = field(default_factory=list)

    def rehearse(self, wish: Wish) -> Rehearsal:
        return Rehearsal(wish, wish.digest, (), self.changes)

    def give(self, wish: Wish, seal: str) -> Rehearsal | Done:
        rehearsal = self.rehearse(wish)
        if rehearsal.seal != seal:
            return rehearsal
        self.given.append(wish)
        return Done("d" * 64, 3, 17, is_frozen=True)


def nothing_found(text: str, bounds: Bounds) -> Found:
    return Found(canonical(text), bounds)


@contextmanager
def console(
    picture: Picture | None = None,
    *,
    token: str | None = None,
    host: str = "127.0.0.1",
    orders: Orders | None = None,
    search: Callable[[str, Bounds], Found] = nothing_found,
    seen: Seen | None = None,
) -> Iterator[Browser]:
    """A console that shows this picture, called from this machine whatever ``host`` it believes to be bound to."""
    orders, access = orders or Orders(), Access(host, token)
    closing: list[bool] = []
    desk = Desk(
        SETTINGS,
        seen or Seen(picture or Picture()),
        access,
        search,
        orders.rehearse,
        orders.give,
        is_closing=lambda: bool(closing),
        clock_ms=lambda: NOON_MS,
    )
    with listen("127.0.0.1", 0) as listener, running(make_app(desk), listener):
        try:
            yield Browser(listener.getsockname()[1])
        finally:
            closing.append(True)
