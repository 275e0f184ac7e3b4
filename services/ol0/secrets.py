"""What must not be printed: secrets among the settings, and their places in a text."""

import re
from collections.abc import Mapping
from typing import Final

MASK: Final = "**********"
# By what librdkafka calls them, those of later versions too: sasl.password, ssl.key.password, ssl.keystore.password,
# ssl.key.pem, sasl.oauthbearer.client.secret, sasl.oauthbearer.config, ...assertion.private.key.passphrase and so on.
SECRET_NAME: Final = re.compile(r"password|passphrase|secret|key\.pem|oauthbearer\.config|credential|kinit\.cmd|_key$")
NAMED_IN_URL: Final = re.compile(r"(?<=password=)[^&\s]+")
# Up to the last @: a / or @ that was not written as %2F or %40 belongs to the password, too.
PASSWORD_IN_URL: Final = re.compile(r"(?<=://)([^/@\s:]*:)(\S+)(?=@)")
PIECES: Final = re.compile(r"[/?#@:\[\]]")
SHORTEST_PIECE: Final = 3
"""Characters: a shorter one is part of many words that are no secret."""


def is_secret(name: str) -> bool:
    """Returns whether an option of librdkafka holds a secret.

    >>> [is_secret(name) for name in ("sasl.password", "sasl.username", "ssl.key.location")]
    [True, False, False]
    """
    return SECRET_NAME.search(name.lower()) is not None


def masked_url(url: str) -> str:
    """A URL with its password masked.

    >>> masked_url("rediss://ol0:geheim@store:6380/0")
    'rediss://ol0:**********@store:6380/0'
    """
    return PASSWORD_IN_URL.sub(rf"\g<1>{MASK}", NAMED_IN_URL.sub(MASK, url))


def without_password(text: str, url: str) -> str:
    """The words of an error about a URL, which may repeat the password or what was taken for the port.

    >>> without_password("Port is no number: 'geheim'", "redis://ol0:geheim/1@store")
    "Port is no number: '**********'"
    """
    passwords = [found[2] for found in PASSWORD_IN_URL.finditer(url)] + NAMED_IN_URL.findall(url)
    pieces = {piece for password in passwords for piece in (password, *PIECES.split(password))}
    for piece in sorted(pieces, key=len, reverse=True):
        if len(piece) >= SHORTEST_PIECE:
            text = text.replace(piece, MASK)
    return text


def masked(options: Mapping[str, object]) -> dict[str, object]:
    """Options of librdkafka as they may be shown."""
    return {
        name: MASK if is_secret(name) else masked_url(value) if isinstance(value, str) else value
        for name, value in options.items()
    }


def without_secrets(text: str, options: Mapping[str, object]) -> str:
    """A text of librdkafka's, which may repeat the value that it refuses."""
    for name, value in options.items():
        if is_secret(name) and str(value):
            text = text.replace(str(value), MASK)
    return masked_url(text)
