"""What a host may report about a decision, and the record that becomes of it."""

from dataclasses import dataclass
from uuid import uuid4

from ol0.errors import ContractError
from ol0.records import Action, DecisionId, Feedback, ImplicitFeedback, ImplicitKind, ToolFeedback, UserFeedback


@dataclass(frozen=True, slots=True)
class ToolResult:
    """How a tool call that the decision led to went.

    Attributes:
        tool: its name.
        success: whether it did what it was called for.
        latency_ms: how long it took; None: not known.
        error_class: kind of the error; None without one.
    """

    tool: str
    success: bool
    latency_ms: float | None = None
    error_class: str | None = None


@dataclass(frozen=True, slots=True)
class Implicit:
    """A sign in the behaviour of the user.

    Attributes:
        kind: a member of ``ol0.records.ImplicitKind``.
        strength: from 0 (none) to 1 (certain).
    """

    kind: ImplicitKind
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class About:
    """What every feedback says: which decision, who says so, when."""

    feedback_id: str
    decision_id: DecisionId
    session_id: str
    source: str
    time_ms: int


def new_feedback_id() -> str:
    """Hosts that may send the same signal twice choose an id of their own instead: the same one counts once."""
    return str(uuid4())


def feedback_record(
    about: About,
    *,
    thumb: int | None = None,
    rating: int | None = None,
    correction: Action | None = None,
    tool: ToolResult | None = None,
    implicit: Implicit | None = None,
) -> Feedback:
    """The record of one signal: of the user, of a tool, or implicit.

    Raises:
        ContractError: none, or several of the three; each has a topic of its own.
    """
    by_user = any(value is not None for value in (thumb, rating, correction))
    if by_user + (tool is not None) + (implicit is not None) != 1:
        raise ContractError("report one signal at a time: thumb, rating and correction together, or tool, or implicit")
    common = (about.feedback_id, about.decision_id, about.session_id, about.source, about.time_ms)
    if tool is not None:
        return ToolFeedback(*common, tool.tool, tool.success, tool.latency_ms, tool.error_class)
    if implicit is not None:
        return ImplicitFeedback(*common, implicit.kind, implicit.strength)
    return UserFeedback(*common, thumb, rating, correction)
