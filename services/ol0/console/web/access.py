"""Who may look, and who may give orders: a token opens a session, and every form holds a word of that session."""

import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ol0.errors import ConfigError

SHORTEST: Final = 16
"""Characters of a token: fewer can be guessed."""
SESSION_S: Final = 12 * 3600.0
MOST_SESSIONS: Final = 100
NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
"""By which a browser on this machine calls it."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@dataclass
class Access:
    """Sessions of a console.

    Args:
        host: the address that it is bound to.
        token: opens a session; None: there are no orders.
        clock: seconds.

    Raises:
        ConfigError: another machine could reach it without a token, or the token is too short.
    """

    host: str
    token: str | None
    clock: Callable[[], float] = time.monotonic
    _sessions: dict[str, float] = field(default_factory=dict)
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < SHORTEST:
            raise ConfigError(f"the token has {len(self.token)} characters; {SHORTEST} are the least")
        if self.token is None and not is_loopback(self.host):
            raise ConfigError(
                f"--host {self.host} lets other machines look: set a token (--token or OL0_CONSOLE_TOKEN), or stay on "
                "127.0.0.1"
            )

    def may_look(self, host_header: str, session: str | None) -> bool:
        """Whether a request may see anything: with a session, or from this machine by one of its own names.

        Another name is that of a proxy, or of a page elsewhere that points its name at this machine.
        """
        name = host_header if host_header.endswith("]") else host_header.rsplit(":", 1)[0]
        return self.is_open(session) or (is_loopback(self.host) and name.lower() in (*NAMES, self.host))

    def open_session(self, token: str) -> str | None:
        """The name of a new session; None: that is not the token."""
        if self.token is None or not hmac.compare_digest(self.token.encode(), token.encode()):
            return None
        if len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda it: self._sessions[it])]
        session = secrets.token_urlsafe(32)
        self._sessions[session] = self.clock() + SESSION_S
        return session

    def is_open(self, session: str | None) -> bool:
        """Whether a session may give orders."""
        return session is not None and self._sessions.get(session, -1.0) > self.clock()

    def close_session(self, session: str | None) -> None:
        """Ends a session."""
        self._sessions.pop(session or "", None)

    def form_word(self, session: str) -> str:
        """What a form of this session holds: another site cannot know it."""
        return hmac.new(self._key, session.encode(), sha256).hexdigest()

    def is_own_form(self, session: str | None, word: str) -> bool:
        """Whether a form was made for this session, which is open."""
        if session is None or not self.is_open(session):
            return False
        return hmac.compare_digest(self.form_word(session).encode(), word.encode())
