"""Router: what a host application imports."""

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Self

import structlog

from ol0.config import ServingConfig, Settings
from ol0.controller.arms import ArmPicker, pseudonym
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import CheckpointError, ConfigError, ContractError
from ol0.records import Action, Decision, DecisionId, Digest, Mode, ServingState
from ol0.serving.feedback import About, Implicit, ToolResult, feedback_record, new_feedback_id
from ol0.serving.follower import Follower, Latest
from ol0.serving.options import Options, Sender
from ol0.serving.prompt import Circumstances, Prompt, Tools
from ol0.serving.view import View, view_of_file, view_of_state
from ol0.streaming.lineage import Lineage
from ol0.streaming.sender import RecordSender
from ol0.streaming.table import CompactedReader, LatestValue

KILL_VARIABLE = "OL0_KILL"
"""Set to anything but 0 in a host's environment, its routers start killed."""
FLUSH_S = 10.0


class Router:
    """Decides between prompts which controller serves, and logs what it decided.

    A new release becomes visible by swapping one reference to an immutable view; prompts hold on to theirs. Make one
    per process, after forking: a Kafka client does not outlive a fork. May be used from several threads.

    Args:
        view: what serves at first; None where a follower is about to bring it.
        config: arms, holdback and keys.
        options: see there.
        sender: takes decisions and feedback; None: nothing is logged.
        keys: whose verdicts it believes.

    Attributes:
        refused: why the newest serving state does not serve; None while it does.
    """

    def __init__(
        self,
        view: View | None,
        config: ServingConfig,
        options: Options,
        sender: Sender | None,
        keys: Keyring = OPEN,
    ) -> None:
        self.refused: str | None = None
        self._view = view
        self._keys = keys
        self._picker = ArmPicker(config.arm_key.get_secret_value().encode(), config.holdback)
        self._user_key = config.user_key.get_secret_value().encode()
        self._tools = Tools(options.rng, options.clock, options.features_dtype, self._log if sender else None)
        self._sender = sender
        self._unsendable = 0
        self._lock = threading.Lock()
        self._follower: Follower | None = None
        self._process = os.getpid()
        self._killed = os.environ.get(KILL_VARIABLE, "0") not in ("", "0")

    @classmethod
    def open(cls, settings: Settings, options: Options | None = None) -> Self:
        """Follows the releases of a lineage. Where Kafka does not answer in time, ``serving.base`` serves at first.

        Raises:
            ConfigError: there is neither a release nor a base file, or an option contradicts a guarantee.
        """
        lineage, keys = Lineage.of(settings.kafka), Keyring.of(settings.security, settings.kafka.topic_prefix)
        latest = LatestValue(CompactedReader("releases", lineage), "serving", ServingState)
        return cls.following(latest, settings.serving, options or Options(), RecordSender(lineage, full_wait_s=0), keys)

    @classmethod
    def following(
        cls, latest: Latest, config: ServingConfig, options: Options, sender: Sender, keys: Keyring = OPEN
    ) -> Self:
        """``open`` with the connections given."""
        router = cls(None, config, options, sender, keys)
        follower = Follower(latest, router.take)
        router._follower = follower
        reached = follower.start(options.wait_s)
        if router._view is None:
            try:
                router._view = _base_view(config, options.wait_s, reached=reached)
            except ConfigError:
                router.close()
                raise
        return router

    @classmethod
    def local(
        cls, checkpoint: bytes | Path, config: ServingConfig | None = None, options: Options | None = None
    ) -> Self:
        """Serves one checkpoint to everybody, without Kafka and without a log: for a host's own tests.

        Raises:
            CheckpointError: the checkpoint is not what it says.
            OSError: the file cannot be read.
        """
        data = checkpoint.read_bytes() if isinstance(checkpoint, Path) else checkpoint
        return cls(view_of_file(data), config or ServingConfig(), options or Options(), None)

    def prompt(self, session_id: str, *, user: str | None = None, group: str | None = None, turn: int = 0) -> Prompt:
        """Pins what serves now for one prompt.

        Args:
            session_id: the session; the unit of arms where no user is known.
            user: who asks; a pseudonym of it is stored, never itself.
            group: label for reports; never an input of a decision.
            turn: decisions that this session has had in earlier prompts.

        Raises:
            ConfigError: this process was forked from the one that opened the router.
        """
        if os.getpid() != self._process:
            raise ConfigError("a router does not outlive a fork: open one in each worker process")
        view = self._view
        assert view is not None, "following() waits until there is one"
        if self._killed:
            view = replace(view, mode=Mode.OFF)
        name = None if user is None else pseudonym(user, self._user_key)
        assigned = view.assign(name or session_id, self._picker)
        return Prompt(view, assigned, Circumstances(session_id, name, group, turn), self._tools)

    def report(  # noqa: PLR0913 - one keyword for each signal there is
        self,
        decision_id: DecisionId,
        session_id: str,
        *,
        thumb: int | None = None,
        rating: int | None = None,
        correction: Action | None = None,
        tool: ToolResult | None = None,
        implicit: Implicit | None = None,
        source: str = "host",
        feedback_id: str | None = None,
    ) -> bool:
        """Sends one signal about a decision; says whether it is on its way.

        Args:
            decision_id: from the ``Choice``.
            session_id: of the prompt.
            thumb: +1 or -1.
            rating: 1 to 5.
            correction: the right action.
            tool: how a tool call went.
            implicit: a sign in the user's behaviour.
            source: who says so; signals of one source replace each other.
            feedback_id: the same one counts once, however often it is sent.

        Raises:
            ContractError: no signal, several at a time, or one out of range.
        """
        about = About(feedback_id or new_feedback_id(), decision_id, session_id, source, self._tools.clock())
        record = feedback_record(about, thumb=thumb, rating=rating, correction=correction, tool=tool, implicit=implicit)
        return self._sender is not None and self._sender.send(record)

    def take(self, state: ServingState) -> None:
        """Makes a newer serving state visible to the next prompt; a flawed one is refused, and what served goes on."""
        try:
            view = view_of_state(state, self._keys)
        except CheckpointError as error:
            self.refused = str(error)
            structlog.get_logger("ol0.serving").error("refused a serving state", reason=self.refused)
            return
        self._view, self.refused = view, None

    def kill(self) -> None:
        """From the next prompt on the base serves everybody in this process, and nothing is logged."""
        self._killed = True

    def revive(self) -> None:
        """Takes ``kill`` back."""
        self._killed = False

    @property
    def killed(self) -> bool:
        """Whether the local kill switch is on."""
        return self._killed

    @property
    def serving(self) -> tuple[int, Digest] | None:
        """Sequence and live digest of what the next prompt will be pinned to."""
        return None if self._view is None else (self._view.sequence, self._view.live.digest)

    @property
    def dropped(self) -> int:
        """Decisions and feedback that will never reach the log."""
        if self._sender is None:
            return 0
        deliveries = self._sender.deliveries
        return deliveries.dropped + deliveries.failed + self._unsendable

    def close(self) -> None:
        """Stops following and waits, for a while, until what was logged is delivered."""
        if self._follower is not None:
            self._follower.stop()
        if self._sender is not None:
            self._sender.flush(FLUSH_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _log(self, decision: Decision) -> None:
        """A decision that cannot be logged is a counted loss; the host gets its choice all the same."""
        assert self._sender is not None
        try:
            self._sender.send(decision)
        except ContractError as error:
            with self._lock:
                self._unsendable += 1
            structlog.get_logger("ol0.serving").error("cannot log a decision", reason=str(error))


def _base_view(config: ServingConfig, wait_s: float, *, reached: bool) -> View:
    """The last resort."""
    found = "the releases topic holds none that may serve" if reached else f"Kafka did not answer within {wait_s:g} s"
    if config.base is None:
        raise ConfigError(f"nothing to serve: {found}, and serving.base names no file; run ol0 warmup, or name one")
    try:
        view = view_of_file(config.base.read_bytes())
    except (OSError, CheckpointError) as error:
        raise ConfigError(f"nothing to serve: {found}, and serving.base {config.base}: {error}") from None
    structlog.get_logger("ol0.serving").warning("the base file serves", reason=found, digest=view.base.digest)
    return view
