"""A whole run: a lineage on a stack of its own, simulated users, faults, and what became of it all."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from rich.console import Console

from ol0.clock import wall_clock_ms
from ol0.config import Settings, load_settings, settings_of
from ol0.controller.checkpoint import read_base
from ol0.errors import ConfigError
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.observability.logs import configure_logs
from ol0.operator.figure_sources import Sources
from ol0.operator.observation import OBSERVED_TOPICS, Observation, Observer
from ol0.operator.setup.lineage import apply_topics, warm_up
from ol0.operator.setup.prompts import DEFAULT_DATA, Prompts, kinds_of, read_prompts, split_prompts
from ol0.operator.text import plural
from ol0.replay.budget import Budget
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.simulation.event_clock import EventClock
from ol0.simulation.faults import Fault, FaultInjector
from ol0.simulation.report.files import summary_text, wrapped, write_report
from ol0.simulation.report.model import ENOUGH_DECISIONS, EventTime, RunReport
from ol0.simulation.report.text import base_text
from ol0.simulation.services import Services
from ol0.simulation.settlement import Settled, environment, kind_policy, policy, reconciliation, settings_that_matter
from ol0.simulation.users import Tally, UserHabits, Users
from ol0.simulation.view import View, make_view
from ol0.stacks.stack import STORE_BYTES, Stack

FIRST_RELEASE_S = 60.0  # six services import and join in about ten seconds; a loaded machine takes longer
DRAIN_S = 90.0  # a service that was just killed comes back and catches up; the windows' own time comes on top
MARGIN_S = 1.0  # beyond the interval at which the evaluator writes what it found: its last word has to be in the report
LOOK_S = 0.25

SettingsTree = Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What is to be run.

    Attributes:
        data: labelled prompts; None: those that travel inside the package.
        out: folder of the report, the settings and the logs.
        seed: of the split, the base and the users.
        decisions: how many prompts the users ask.
        habits: how the users behave.
        settings: over the defaults, but for where things are.
        time_scale: seconds of event time in a second; None: the wall clock is the clock.
        faults: what is done to the services.
        make_base: gives the bytes of the base, of the prompts that it may know; None: a linear one is trained.
    """

    data: Path | None
    out: Path
    seed: int
    decisions: int
    habits: UserHabits
    settings: SettingsTree
    time_scale: float | None = None
    faults: tuple[Fault, ...] = ()
    make_base: Callable[[Prompts], bytes] | None = None


def play(plan: RunPlan, make_stack: Callable[[Path], Stack], console: Console) -> RunReport:
    """Plays a run in a folder that is made anew, writes the report, tells the summary.

    Raises:
        OL0Error: the run could not be finished.
    """
    run = Run(plan, make_stack(plan.out / "stack"), console)  # reads the data: a wrong name must not cost a report
    with fresh_folder(plan.out), _logging_into(plan.out / "logs" / "harness.log"):
        report = run.run()
    machine, people = write_report(report, plan.out)
    summary = summary_text(report)
    shown = wrapped(summary, console.width) if console.is_terminal else summary
    console.print(shown, highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nFull report: {people}\nFor machines:    {machine}", highlight=False, soft_wrap=True)
    return report


@contextmanager
def fresh_folder(folder: Path) -> Iterator[None]:
    """Empties the folder of an earlier run; what lies in a folder that no run made is left alone.

    The stack's data is deleted at the end: it is large, and the report holds what matters of it.

    Raises:
        ConfigError: the folder holds something else, or cannot be made.
    """
    try:
        if folder.exists() and any(folder.iterdir()) and not (folder / "ol0.json").exists():
            raise ConfigError(f"{folder} is not empty and was not created by a run: choose another folder with --out")
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "logs").mkdir(parents=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}; choose another folder with --out") from None
    try:
        yield
    finally:
        shutil.rmtree(folder / "stack", ignore_errors=True)


@contextmanager
def _logging_into(path: Path) -> Iterator[None]:
    """Logs go into a file, because the terminal belongs to the view."""
    with path.open("w", encoding="utf-8") as log:
        configure_logs("harness", "INFO", log)
        try:
            yield
        finally:
            # Kafka's clients log until the garbage collector has taken the last of them, long after the file is closed.
            logging.getLogger().handlers[:] = [logging.NullHandler()]


class Run:
    """Starts a lineage on a stack, plays the traffic, stops everything and says what became of it.

    Args:
        plan: what to play.
        stack: where; it is started and stopped here.
        console: where the run is shown.
    """

    def __init__(self, plan: RunPlan, stack: Stack, console: Console) -> None:
        self._plan = plan
        self._stack = stack
        self._console = console
        prompts, old = read_prompts(plan.data)
        _check_room(plan, prompts.features.shape[1])
        self._split = split_prompts(prompts, old, plan.seed)
        self._kinds = kinds_of(prompts.groups, old)

    def run(self) -> RunReport:
        """The whole run. Whatever happens, everything that was started is stopped.

        Raises:
            OL0Error: something could not go on; its message says what and where the log is.
        """
        began = datetime.now(UTC)
        with ExitStack() as resources:
            view = resources.enter_context(make_view(self._console))
            view.say("Kafka and Valkey are starting.")
            resources.enter_context(self._stack)
            path = self._write_settings()
            settings = load_settings(path)
            view.say("A base controller is trained on the old kinds of prompts; topics and anchors are set up.")
            apply_topics(settings)
            make_base = self._plan.make_base
            checkpoint = None if make_base is None else make_base(self._split.base)
            offered = warm_up(settings, self._split, self._plan.out, self._plan.seed, checkpoint)
            base, old = read_base(settings.serving.base), self._split.old_test
            view.say(base_text(kind_policy(old, base, base)))
            if offered.few:
                view.say(offered.few)
            clock = resources.enter_context(_clock(settings, self._plan.time_scale))
            view.say("Six services are starting.")
            services = resources.enter_context(Services(path, self._plan.out / "logs", view.say))
            services.wait_for_release(settings, FIRST_RELEASE_S)
            view.say("Both gates approved the base, and it serves. Users start to send prompts.")
            if self._plan.decisions < ENOUGH_DECISIONS:
                view.say(_too_short(self._plan.decisions))
            faults = FaultInjector(self._plan.faults, lambda: services.pids, view.say)
            return self._report(settings, self._play(settings, services, view, clock, faults), began, faults)
        raise AssertionError("no context here swallows an exception")

    def _write_settings(self) -> Path:
        """The settings as a file, so that every command can be given them while the run lasts, and afterwards."""
        folder = self._plan.out.resolve()
        tree = {name: dict(section) for name, section in self._plan.settings.items()}
        tree["kafka"] = {**tree.get("kafka", {}), "bootstrap_servers": self._stack.bootstrap_servers}
        tree["redis"] = {**tree.get("redis", {}), "url": self._stack.redis_url}
        tree["serving"] = {**tree.get("serving", {}), "base": str(folder / "base.safetensors")}
        tree["safety"] = {**tree.get("safety", {}), "suite": str(folder / "suite.safetensors")}
        path = self._plan.out / "ol0.json"
        path.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")
        return path

    def _play(
        self,
        settings: Settings,
        services: Services,
        view: View,
        clock: Callable[[], int],
        faults: FaultInjector,
    ) -> "Played":
        """The traffic from its first prompt until the last record has come to rest."""
        plan, split, stop = self._plan, self._split, Event()
        store = ReplayStore(connect(settings.redis), settings.kafka.topic_prefix)
        with Router.open(settings, Options(clock=clock)) as router:
            users = Users(router, split.stream, split.base, plan.habits, plan.seed)
            sources = Sources(
                decisions=lambda: users.tally.decisions,
                planned=plan.decisions,
                feedback=lambda: users.tally.feedback,
                restarts=lambda: services.restarts,
            )
            traffic = Thread(target=users.run, args=(plan.decisions, stop), name="users", daemon=True)
            with Observer(LogReader(settings, OBSERVED_TOPICS), sources, kind_of=self._kinds) as observer:
                began_ms = clock()
                traffic.start()
                try:
                    with faults:
                        _watch(observer, view, services, lambda: not traffic.is_alive())
                    asked_ms = clock()
                    router.close()
                    scale = plan.time_scale or 1
                    written_s = settings.streaming.commit_interval_s + MARGIN_S
                    rest_s = 2 * settings.safety.session_gap_s / scale + written_s
                    settled = Settled(store, users.tally, observer, rest_s)
                    _watch(observer, view, services, settled, DRAIN_S + _open_s(settings) / scale)
                finally:
                    stop.set()
                    traffic.join()
                times = _event_time(plan, asked_ms - began_ms, clock() - began_ms)
                return Played(observer.observe(), store.counters(), users.tally, times)

    def _report(self, settings: Settings, played: "Played", began: datetime, faults: FaultInjector) -> RunReport:
        return RunReport(
            observation=played.observation,
            reconciliation=reconciliation(played.counters, played.observation.outcomes, played.sent),
            policy=policy(settings, self._split),
            seed=self._plan.seed,
            data=(self._plan.data or Path(DEFAULT_DATA)).name,
            began=began.isoformat(timespec="seconds"),
            environment=environment(),
            settings=settings_that_matter(settings),
            faults=tuple(faults.done),
            event_time=played.event_time,
        )


@dataclass(frozen=True, slots=True)
class Played:
    """What is known when the last record has come to rest."""

    observation: Observation
    counters: Counters
    sent: Tally
    event_time: EventTime | None


@contextmanager
def _clock(settings: Settings, time_scale: float | None) -> Iterator[Callable[[], int]]:
    if time_scale is None:
        yield wall_clock_ms
        return
    with EventClock.of(settings, time_scale) as clock:
        yield clock


def _event_time(plan: RunPlan, asking_ms: int, played_ms: int) -> EventTime | None:
    """What was asked for and what was played, where event time is not the wall's."""
    if plan.time_scale is None:
        return None
    asked_s = plan.decisions / plan.habits.rate_per_s * plan.time_scale
    return EventTime(plan.time_scale, asked_s, asking_ms / 1000, played_ms / 1000)


def _check_room(plan: RunPlan, dimension: int) -> None:
    """Whether the stack's store has room for examples of so many features. Raises ConfigError."""
    budget = Budget.of(settings_of(plan.settings, "environment"), dimension)
    if (shortage := budget.shortage(STORE_BYTES)) is not None:
        raise ConfigError(
            f"{plan.data or DEFAULT_DATA}: {shortage}: project the features to fewer, or set "
            "OL0_ONLINE_LEARNING__REPLAY_SIZE to fewer examples"
        )


def _too_short(decisions: int) -> str:
    return (
        f"{plural(decisions, 'decision')} are few: a lift is seldom proven before some {ENOUGH_DECISIONS:,}. Where it "
        'is not, and nothing fails, the run ends as "not proven".'
    )


def _open_s(settings: Settings) -> float:
    """How long the last decision's window and session stay open, in event time."""
    streaming = settings.streaming
    return streaming.reward_window_s + streaming.allowed_lateness_s + 2 * settings.safety.session_gap_s


def _watch(
    observer: Observer,
    view: View,
    services: Services,
    done: Callable[[], bool],
    limit_s: float | None = None,
) -> None:
    """Shows the run until it is done, or the time is over.

    Raises:
        StackError: a service has given up, so the run cannot end well.
    """
    deadline_s = None if limit_s is None else monotonic() + limit_s
    pause = Event()
    while not done() and (deadline_s is None or monotonic() < deadline_s):
        services.check()
        view.show(observer.observe())
        pause.wait(LOOK_S)
    view.show(observer.observe())
