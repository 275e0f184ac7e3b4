"""Names that a host gives to things: they become keys on Kafka and in the store."""

from typing import Final

from ol0.errors import RangeError

LONGEST_BYTES: Final = 256
"""As UTF-8: what the contract takes."""


def require_label(name: str, label: str | None) -> None:
    """Checks a label before anything is done under it.

    Raises:
        RangeError: too long, or no text that can be written as UTF-8.
    """
    if label is None:
        return
    try:
        size = len(label.encode())
    except UnicodeEncodeError as error:
        raise RangeError(f"{name}: {label[:40]!r} cannot be written as UTF-8 ({error.reason})") from None
    if size > LONGEST_BYTES:
        raise RangeError(
            f"{name}: {size} bytes, {label[:40]!r}...; {LONGEST_BYTES} at most. Give a digest of it instead"
        )
