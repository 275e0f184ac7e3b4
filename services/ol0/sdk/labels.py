"""Names that a host gives to things: they become keys on Kafka and in the store."""

from ol0.errors import RangeError
from ol0.wire.validation import MAX_LABEL_BYTES


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
    if size > MAX_LABEL_BYTES:
        raise RangeError(
            f"{name}: {size} bytes, {label[:40]!r}...; {MAX_LABEL_BYTES} at most. Give a digest of it instead"
        )
