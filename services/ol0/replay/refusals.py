"""What the scripts answer when they refuse, as errors that say what to do next."""

from collections.abc import Sequence

from ol0.errors import Fenced, Gap, StoreError


def refusal(reply: Sequence[object], where: str) -> StoreError:
    """The error for a reply other than OK.

    Args:
        reply: status, and for some the figure that the store has instead.
        where: partition, offset and epoch that the call was about, as far as it had them.
    """
    status, *rest = map(_text, reply)
    found = f" (the store has {rest[0]})" if rest else ""
    match status:
        case "FENCED":
            return Fenced(f"{where}: a newer owner has this partition{found}; this worker must stop")
        case "GAP" | "UNCLAIMED":
            return Gap(f"{where}: {status}{found}: the store was restored or moved on; claim again and seek there")
        case "UNKNOWN":
            return StoreError(
                f"{where}: not registered in this incarnation of the store: `ol0 topics apply` registers it; if it "
                "was, the store was wiped, and `ol0 replay rebuild` makes it again from the logs"
            )
        case "RECREATED":
            return StoreError(
                f"{where}: the topic was deleted and made anew: the store has read another one of that name (id "
                f"{rest[0]}) up to offset {rest[1]}, and these offsets mean nothing in its successor. `ol0 topics "
                "apply` begins at the first record of the new log, and says so; what only the old one had is lost"
            )
        case "CORRUPT":
            return damaged(where, ", ".join(rest))
        case _:
            return StoreError(f"{where}: {status}{found}: the store does not take this call; mixed versions of OL0?")


def damaged(where: str, what: str) -> StoreError:
    """The error for keys that do not hold what they should."""
    return StoreError(f"{where}: keys are missing or damaged ({what}); `ol0 replay rebuild` makes the store again")


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
