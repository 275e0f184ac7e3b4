"""Router: what a host application imports."""

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, Self

from ol0.config import FORMER_KEY, KNOWN_KEY, HostKey, ServingConfig, Settings
from ol0.controller.arms import ArmPicker, pseudonym
from ol0.controller.checkpoint import Opener, read_checkpoint
from ol0.controller.numbering import Numbering
from ol0.controller.signing import OPEN, Keyring
from ol0.errors import CheckpointError, ConfigError, ContractError, OL0Error
from ol0.kafka.forks import call_in_children
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.host_sender import HostSender
from ol0.kafka.sending.producer_thread import Account
from ol0.kafka.topic_readers.checkpoints import CheckpointReader
from ol0.kafka.topic_readers.compacted_reader import LatestValue
from ol0.observability.log_throttle import LogThrottle
from ol0.records import Action, Decision, DecisionId, Digest, Mode, ServingState, brief
from ol0.sdk.feedback import About, Implicit, ToolResult, feedback_record, new_feedback_id
from ol0.sdk.labels import require_label
from ol0.sdk.options import Options, Sender
from ol0.sdk.prompt import Circumstances, Prompt, Tools
from ol0.sdk.release_watcher import Latest, ReleaseWatcher
from ol0.sdk.view import View, view_of_file, view_of_state

KILL_VARIABLE: Final = "OL0_KILL"
"""Set to anything but 0 in a host's environment, its routers start killed."""
FLUSH_S: Final = 10.0
UNSENDABLE: Final = "breaks the contract"
FORKED: Final = "its prompt was opened before a fork"
KEYLESS: Final = FORMER_KEY.encode()
"""What a router without keys hashes with: one that serves a file in a host's own tests."""


class Router:
    """Decides between prompts which controller serves, and logs what it decided.

    A new release becomes visible by swapping one reference to an immutable view; prompts hold on to theirs. May be used
    from several threads, and in forked children: each has connections and an account of its own, from when it first
    needs them, and serves what its parent served until it has read what is newer. ``open`` makes one for production,
    ``local`` one for tests.

    >>> import numpy as np
    >>> from ol0 import Base, Router
    >>> base = Base.from_linear(np.eye(4), epsilon=0.0)
    >>> with Router.local(base.data) as router:
    ...     with router.prompt("session-17", user="ann") as prompt:
    ...         choice = prompt.decide([1.0, 0.0, 0.0, 0.0])
    >>> choice.action, choice.propensity
    ((0,), (1.0,))

    Args:
        view: what serves at first; None where a follower is about to bring it.
        config: arms, holdback and keys.
        options: see there.
        sender: takes decisions and feedback; None: nothing is logged.
        keys: whose verdicts it believes.
        opener: opens the checkpoints of serving states.

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
        opener: Opener = read_checkpoint,
    ) -> None:
        self.refused: str | None = None
        self._view = view
        self._keys = keys
        self._opener = opener
        self._picker = ArmPicker(_key(config, HostKey.ARM), config.holdback)
        self._user_key = _key(config, HostKey.USER)
        self._options = options
        self._sender = sender
        self._notes = LogThrottle(logging.getLogger("ol0.sdk"))
        self._connect: Callable[[], Latest] | None = None
        self._follower: ReleaseWatcher | None = None
        self._forks = 0
        self._begin()
        self._killed = os.environ.get(KILL_VARIABLE, "0") not in ("", "0")
        call_in_children(self._begin_in_child)

    @classmethod
    def open(cls, settings: Settings, options: Options | None = None) -> Self:
        """Follows the releases of a lineage. Where Kafka does not answer in time, ``serving.base`` serves at first.

        Args:
            settings: from ``ol0.config.load_settings(path)``; needs ``serving.arm_key`` and ``serving.user_key``.
            options: None: the defaults.

        Raises:
            ConfigError: there is neither a release nor a base file, a key is not set, or an option contradicts a
                guarantee.
        """
        lineage, keys = Lineage.of(settings.kafka), Keyring.of(settings.security, settings.kafka.topic_prefix)
        connect = partial(LatestValue, "releases", lineage, "serving", ServingState)
        sender, opener = HostSender(lineage), CheckpointReader(lineage)
        return cls.following(connect, settings.serving, options or Options(), sender, keys, opener)

    @classmethod
    def following(
        cls,
        connect: Callable[[], Latest],
        config: ServingConfig,
        options: Options,
        sender: Sender,
        keys: Keyring = OPEN,
        opener: Opener = read_checkpoint,
    ) -> Self:
        """``open`` with the connections given; ``connect`` makes the one to the releases, once in each process."""
        known = [name for name in HostKey if config.key(name) == FORMER_KEY.encode()]
        router = cls(None, config, options, sender, keys, opener)
        for name in known:
            router._notes.note(f"serving.{name} is {FORMER_KEY!r}", KNOWN_KEY)
        router._connect = connect
        reached = router._follow(options.wait_s)
        if router._view is None:
            try:
                router._view = _base_view(config, options.wait_s, router._notes, reached=reached)
            except ConfigError:
                router.close()
                raise
        return router

    @classmethod
    def local(
        cls, checkpoint: bytes | Path, config: ServingConfig | None = None, options: Options | None = None
    ) -> Self:
        """Serves one checkpoint to everybody, without Kafka and without a log: for a host's own tests.

        Args:
            checkpoint: bytes or a file, such as ``base.safetensors`` or the ``data`` of a candidate.
            config: arms and holdback; None: the defaults.
            options: None: the defaults.

        Raises:
            CheckpointError: the checkpoint is not what it says.
            OSError: the file cannot be read.
        """
        data = checkpoint.read_bytes() if isinstance(checkpoint, Path) else checkpoint
        return cls(view_of_file(data), config or ServingConfig(), options or Options(), None)

    def prompt(self, session_id: str, *, user: str | None = None, group: str | None = None, turn: int = 0) -> Prompt:
        """Pins what serves now for one prompt.

        Args:
            session_id: the session; the unit of arms where no user is known. At most 256 bytes, as ``group``.
            user: who asks; a pseudonym of it is stored, never itself.
            group: label for reports, and for trials, which end sooner where it tells hard prompts from easy ones;
                never an input of a decision.
            turn: decisions that this session has had in earlier prompts.

        Returns:
            A context manager. All its decisions are those of one controller, whatever is released meanwhile.

        Raises:
            RangeError: session or group is too long for the log, or no text that can be written.
        """
        if self._forked:
            self._follow_in_child()
        # Here, and not where the record is made: a decision is served whatever becomes of its record.
        require_label("session_id", session_id)
        require_label("group", group)
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
        user: str | None = None,
        source: str | None = None,
        feedback_id: str | None = None,
    ) -> bool:
        """Sends one signal about a decision: of a user (``thumb``, ``rating``, ``correction``), of a tool, or implicit.

        Never blocks, and no outage of Kafka raises.

        Args:
            decision_id: from the ``Choice``.
            session_id: of the prompt.
            thumb: +1 or -1.
            rating: 1 to 5.
            correction: the right action, one index per part.
            tool: how a tool call went.
            implicit: a sign in the user's behaviour.
            user: who says so, as ``prompt`` takes it; a pseudonym of it is stored.
            source: the same by a name that is stored as it is. Signals of one source about one decision replace each
                other. Where neither is given it is the session: two people who vote in one session are then one.
            feedback_id: the same one counts once, however often it is sent.

        Returns:
            Whether it is on its way; if not, ``account`` says why.

        Raises:
            ContractError: no signal, signals of several kinds, one out of range, or user and source.
        """
        if user is not None and source is not None:
            raise ContractError("report who says so once: user or source")
        who = session_id if user is None else pseudonym(user, self._user_key)
        about = About(feedback_id or new_feedback_id(), decision_id, session_id, source or who, self._tools.clock())
        record = feedback_record(about, thumb=thumb, rating=rating, correction=correction, tool=tool, implicit=implicit)
        return self._sender is not None and self._sender.send(record)

    def take(self, state: ServingState) -> None:
        """Makes a newer serving state visible to the next prompt; a flawed one is refused, and the former one stays.

        Raises:
            StreamError: its chunks cannot be read for now.
        """
        try:
            view = view_of_state(state, self._keys, self._opener)
        except CheckpointError as error:
            self.refused = str(error)
            self._notes.note("refused a serving state", self.refused, logging.ERROR)
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
        """Sequence and live digest of what the next prompt will be pinned to; None while nothing serves yet."""
        return None if self._view is None else (self._view.sequence, self._view.live.digest)

    @property
    def dimension(self) -> int:
        """D: how many features a prompt of this lineage has."""
        assert self._view is not None, "following() waits until there is one"
        return self._view.base.dimension

    @property
    def age_s(self) -> float | None:
        """Seconds since what serves was known to be the newest release: some 10 at most, and more while Kafka is away.

        None: it never was. The base file serves, or a checkpoint that was given.
        """
        current_at_s = None if self._follower is None else self._follower.current_at_s
        return None if current_at_s is None else time.monotonic() - current_at_s

    @property
    def account(self) -> Account:
        """The account of this process's decisions and feedback: made = delivered + dropped + waiting."""
        sent = Account() if self._sender is None else self._sender.account
        with self._lock:
            unsent = Counter(self._unsent)
        return replace(sent, made=sent.made + unsent.total(), reasons={**sent.reasons, **unsent})

    @property
    def dropped(self) -> int:
        """Decisions and feedback that will never reach the log."""
        return self.account.dropped

    def close(self) -> None:
        """Stops following and waits, for a while, until what was logged is delivered; the rest is dropped and counted.

        Takes at most 17 s, whatever Kafka does. A closed router continues to serve and logs nothing.
        """
        if self._follower is not None and not self._forked:
            self._follower.stop()
        if self._sender is not None:
            self._sender.close(FLUSH_S)
        self._notes.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin(self) -> None:
        """What a process must not share with the one that forked it."""
        self._lock = threading.Lock()
        self._unsent: Counter[str] = Counter()
        self._forked = False
        options = self._options
        log = None if self._sender is None else partial(self._log, self._forks)
        self._tools = Tools(options.rng, options.clock, options.features_dtype, Numbering(), log)

    def _begin_in_child(self) -> None:
        self._forks += 1
        self._notes.clear()
        self._begin()
        self._options.rng.seed()  # or every worker would explore as the others do
        self._forked = self._follower is not None

    def _follow(self, wait_s: float) -> bool:
        """Starts to follow; says whether the releases were read to their end within ``wait_s``."""
        assert self._connect is not None
        since_s = None if self._follower is None else self._follower.current_at_s
        self._follower = ReleaseWatcher(self._connect(), self.take, self._notes, since_s)
        return self._follower.start(wait_s)

    def _follow_in_child(self) -> None:
        """At the first prompt: a child that never decides opens no connection."""
        with self._lock:
            if not self._forked:
                return
            try:
                self._follow(0)
            except (OL0Error, RuntimeError) as error:  # no more threads, for one: the next prompt tries again
                self._notes.note("cannot follow releases", f"{error}; what the parent served serves on")
            else:
                self._forked = False

    def _log(self, forks: int, decision: Decision) -> None:
        """A decision that cannot be logged is a counted loss; the host still gets its choice."""
        assert self._sender is not None
        if forks != self._forks:
            # The parent continues to count with the same prefix: both would log the same ids.
            return self._lose(FORKED, "open a prompt in the process that decides")
        try:
            self._sender.send(decision)
        except (ContractError, ValueError, TypeError, OverflowError) as error:
            self._lose(UNSENDABLE, str(error))

    def _lose(self, reason: str, text: str) -> None:
        with self._lock:
            self._unsent[reason] += 1
        self._notes.note(f"a decision was not logged: {reason}", text, logging.ERROR)


def _key(config: ServingConfig, name: HostKey) -> bytes:
    return config.key(name) if name in config.keys else KEYLESS


def _base_view(config: ServingConfig, wait_s: float, notes: LogThrottle, *, reached: bool) -> View:
    """The last resort."""
    found = "the releases topic has no state that can serve" if reached else f"Kafka did not answer within {wait_s:g} s"
    if config.base is None:
        raise ConfigError(f"nothing to serve: {found}, and serving.base is not set; run `ol0 warmup`, or set it")
    try:
        view = view_of_file(config.base.read_bytes())
    except (OSError, CheckpointError) as error:
        raise ConfigError(f"nothing to serve: {found}, and serving.base {config.base}: {error}") from None
    notes.note("the base file serves", f"{brief(view.base.digest)}, for {found}")
    return view
