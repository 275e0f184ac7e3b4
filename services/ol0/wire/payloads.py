"""A decision as the replay store keeps it: the bytes of the log behind a head of what closing its window needs.

Decision and Outcome begin with the same fields in the same order, so an outcome begins with bytes of its decision. The
head says where these end. The store hands out no more than that when a window is due, some 300 of 1,700 bytes; what
remains is to append reward and sequence, without decoding anything.
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from ol0.errors import ContractError
from ol0.records import Action, Decision, Outcome, RewardParts
from ol0.wire.avro_reader import DOUBLE
from ol0.wire.avro_writer import NULL, PRESENT, PRIMITIVES
from ol0.wire.codec import HEADER, Codec

# Bytes up to the end of the shared fields (the store's scripts read these four, see due.lua), bytes of the session id,
# event time, code of the action, key of the user.
HEAD: Final = struct.Struct("<IIqI8s")

write_long: Final = PRIMITIVES["long"]
DECISION_ID_BYTES: Final = 1 + 36  # length and text; every decision id is a canonical UUID


CODE_BITS: Final = 24
FIRST_BITS: Final = 12
KEPT_ACTIONS: Final = 4_096


def bits_of_parts(parts: int) -> tuple[int, int]:
    """How many bits of an action's code its first part has, and each of the others.

    >>> [bits_of_parts(parts) for parts in (1, 2, 4)]
    [(24, 0), (12, 12), (12, 4)]
    """
    return (CODE_BITS, 0) if parts == 1 else (FIRST_BITS, (CODE_BITS - FIRST_BITS) // (parts - 1))


def largest_sizes(parts: int) -> Action:
    """How many choices each part of an action may have, so that its code tells all of them apart.

    >>> largest_sizes(4)
    (4096, 16, 16, 16)
    """
    first_bits, bits = bits_of_parts(parts)
    return (1 << first_bits, *[1 << bits if bits else 0] * (parts - 1))


@lru_cache(KEPT_ACTIONS)
def action_code(action: Action) -> int:
    """An action in 24 bits, its first part lowest, and above them the number of its parts (0 for one).

    Two actions whose parts fit into their bits have the same code only if they are the same; of others the bits that do
    not fit are lost.
    """
    first_bits, bits = bits_of_parts(len(action))
    code, at = action[0] % (1 << first_bits), first_bits
    for part in action[1:]:
        code |= part % (1 << bits) << at
        at += bits
    return (len(action) > 1 and len(action)) << CODE_BITS | code


class Head(NamedTuple):
    """What closing a window needs to know of its decision.

    Attributes:
        session: id of the session, UTF-8.
        time_ms: when it was made.
        taken: code of its action.
        user: key of the user, 8 bytes.
        opening: the Avro bytes that its outcome begins with.
    """

    session: bytes
    time_ms: int
    taken: int
    user: bytes
    opening: bytes


class Payloads:
    """Packs decisions for the store, and writes their outcomes."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._outcome_header = codec.header(Outcome)

    def pack(self, decision: Decision, user: bytes, logged: bytes | None = None) -> bytes:
        """The payload of a valid decision.

        Args:
            decision: decoded and checked.
            user: key of the user, 8 bytes.
            logged: its framed bytes, where there are any.
        """
        if not logged:
            logged = self._codec.encode_valid(decision)
        features = len(decision.features)
        # Behind the fields that its outcome has too: turn, dtype, number of features' bytes, features.
        behind = len(write_long(decision.turn)) + 1 + len(write_long(features)) + features
        session = len(decision.session_id.encode())
        return (
            HEAD.pack(HEAD.size + len(logged) - behind, session, decision.time_ms, action_code(decision.action), user)
            + logged
        )

    def unpack(self, payload: bytes) -> Decision:
        """The decision of a payload.

        Raises:
            ContractError: it cannot be read.
        """
        return self._codec.decode_valid(Decision, payload[HEAD.size :])

    @staticmethod
    def head(payload: bytes) -> Head:
        """What closing needs, of a payload or of its head alone.

        Raises:
            ContractError: it begins with no head.
        """
        try:
            end, session_bytes, time_ms, taken, user = HEAD.unpack_from(payload)
        except struct.error as error:
            raise ContractError(f"{payload!r} has no head: the store is damaged; run `ol0 replay rebuild`") from error
        session_at = HEAD.size + _session_at(session_bytes)
        session = payload[session_at : session_at + session_bytes]
        return Head(session, time_ms, taken, user, payload[HEAD.size + HEADER.size : end])

    def outcome(self, head: Head, sequence: int, reward: float | None, parts: RewardParts, window_end_ms: int) -> bytes:
        """The framed outcome; arguments as the fields of ``Outcome``. Values are trusted."""
        shares = (reward, parts.thumb, parts.rating, parts.correction, parts.tool, parts.implicit)
        said = [NULL if share is None else PRESENT + DOUBLE.pack(share) for share in shares]
        return b"".join((self._outcome_header, head.opening, write_long(sequence), *said, write_long(window_end_ms)))


def _session_at(session_bytes: int) -> int:
    """Where the text of the session id begins in framed bytes."""
    return HEADER.size + DECISION_ID_BYTES + len(write_long(session_bytes))
