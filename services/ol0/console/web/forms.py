"""Forms as browsers send them, read by hand: no files, no parser for them."""

from typing import Final
from urllib.parse import parse_qsl

from ol0.errors import ConfigError

MOST_BYTES: Final = 16_384
MOST_FIELDS: Final = 20


def fields_of(body: bytes) -> dict[str, str]:
    """The fields of a url-encoded form; of a name that is there twice, the last.

    Raises:
        ConfigError: it is too large, or none.
    """
    if len(body) > MOST_BYTES:
        raise ConfigError(f"the form has {len(body):,} bytes; {MOST_BYTES:,} are the most")
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise ConfigError("that is no form of this page") from None
