"""`ol0 console` and `ol0 trace` beside a lineage that runs, on a real broker and a real store."""

import os
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest

from ol0.clock import wall_clock_ms
from ol0.config import Settings
from ol0.console.decisions.search import Bounds, search
from ol0.console.observing.picture import Part
from ol0.console.observing.sources import sources_of
from ol0.console.observing.watch import Watch
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.topic_readers.span_reader import Span, SpanReader
from ol0.operator.setup.lineage import apply_topics
from ol0.records import Decision, OperatorCommand, OperatorKind, Outcome, ServingState, UserFeedback
from ol0.stacks.native import NativeStack
from support.kafka_log import put_bytes
from support.trials import Trials
from testbed.lineages import Journal, Place, bring_in, services, write_settings
from testbed.processes import Started, ol0
from testbed.restarts import restart_kafka, restart_redis
from testbed.waiting import wait_until

TOKEN = "a token of the tests"  # noqa: S105 - of the tests
RUNNING = ("feedback", "canary", "drift", "release", "evaluator")
WITHIN_S = 40.0
HOUR_MS = 3_600_000


@dataclass
class Browser:
    """A browser without JavaScript."""

    port: int
    cookie: str = ""

    def get(self, path: str = "/") -> str:
        return self._ask("GET", path, None)

    def post(self, path: str, **fields: str) -> str:
        return self._ask("POST", path, urlencode(fields))

    def wait_for(self, *words: str) -> str:
        """The page, as soon as it says all of this."""
        wait_until(lambda: all(word in self.get() for word in words), WITHIN_S)
        return self.get()

    def _ask(self, method: str, path: str, body: str | None) -> str:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"Cookie": self.cookie, "Connection": "close"})
        response = connection.getresponse()
        text = response.read().decode()
        self.cookie = (response.getheader("set-cookie") or self.cookie).partition(";")[0]
        connection.close()
        assert response.status < 400, text
        return text


def field(html: str, name: str) -> str:
    return html.partition(f'name="{name}" value="')[2].partition('"')[0]


@pytest.fixture(scope="module")
def trials(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trials]:
    """A lineage whose base serves, and whose event time moves when a test says so."""
    tree: dict[str, dict[str, object]] = {
        "streaming": {"clock": "ticks", "batch_wait_s": 0.05},
        "safety": {"stages": [], "cooldown_s": 0.0},
        "online_learning": {"anchors": 50},
    }
    place = bring_in(stack, tmp_path_factory.mktemp("console"), tree)
    with (
        services(place, RUNNING),
        Journal(place.settings, "verdicts", "transitions", "releases", "outcomes") as journal,
    ):
        journal.first(ServingState)
        yield Trials.of(place, journal)


@pytest.fixture(scope="module")
def browser(trials: Trials, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("console-process")
    started = Started(folder, "console", "--port", "0", "--token", TOKEN, "--config", trials.place.config)
    try:
        started.wait_for_output("Ctrl-C stops it", WITHIN_S)
        found = re.search(r"http://127\.0\.0\.1:(\d+)/ shows lineage", started.output)
        assert found is not None
        yield Browser(int(found[1]))
        # Neither a member of a group, nor one of its own with offsets in it.
        assert groups(trials.place) <= {f"{trials.place.prefix}.{name}" for name in RUNNING}
        started.process.send_signal(signal.SIGTERM)
        assert started.process.wait(15) == 0
        assert "Traceback" not in started.errors
    finally:
        started.close()


def groups(place: Place) -> set[str]:
    """Consumer groups of the lineage."""
    admin = place.lineage().clients.admin()
    listed = admin.list_consumer_groups(request_timeout=10).result(10).valid
    return {group.group_id for group in listed if group.group_id.startswith(f"{place.prefix}.")}


def decide(trials: Trials, count: int = 3) -> list[Decision]:
    """Decisions with a thumb each, whose windows have closed and whose outcomes are published."""
    now_ms = wall_clock_ms()
    made = [trials.place.decision(number, now_ms) for number in range(count)]
    thumbs = [
        UserFeedback(f"of {it.decision_id}", it.decision_id, it.session_id, "ann", now_ms + 1, thumb=1) for it in made
    ]
    RecordSender(trials.place.lineage()).send_all([*made, *thumbs])
    trials.place.pass_windows(now_ms)
    for it in made:
        trials.journal.first(Outcome, lambda outcome, it=it: outcome.decision_id == it.decision_id)  # type: ignore[misc]
    return made


def test_the_page_shows_what_serves_the_gates_and_the_loops_of_a_lineage_that_runs(
    trials: Trials, browser: Browser
) -> None:
    base = trials.place.base.digest
    html = browser.wait_for("The base serves while the learner collects evidence", f"The base {base[:8]} serves.")
    assert f"<b>OL0</b> <span>{trials.place.prefix}</span>" in html
    assert base in html
    for service in RUNNING:
        assert f'class="name">{service}</td>' in html
    assert 'class="notice"' not in html


def test_a_release_is_on_the_page_as_soon_as_it_serves(trials: Trials, browser: Browser) -> None:
    candidate = trials.good_candidate()
    trials.offer(candidate)
    name = f"{candidate.digest[:8]} (step {candidate.step}) serves"
    html = browser.wait_for(f"Release {name}", f"{name} in place of")
    assert "Canary <span" in html


def test_a_dead_letter_is_on_the_page_with_its_remedy(trials: Trials, browser: Browser) -> None:
    put_bytes(trials.place.lineage(), "decisions", b"no record <script>")
    html = browser.wait_for("ol0 dlq show decisions 0 ")
    assert "These bytes are not a record that this topic accepts" in html
    assert "<script>alert" not in html


def test_a_decision_is_followed_from_its_window_to_its_outcome(trials: Trials, browser: Browser) -> None:
    # Given a decision whose window is open, then it is said so.
    waiting = trials.place.decision(7, wall_clock_ms())
    RecordSender(trials.place.lineage()).send_all([waiting])
    wait_until(lambda: trials.place.counters().open == 1, WITHIN_S)
    assert "Open until event time" in browser.get(f"/decisions/{waiting.decision_id}")
    # When windows have closed, then everything is said of one of them, on the page and by the command.
    ended, *_ = decide(trials)
    page = browser.get(f"/decisions/{ended.decision_id}")
    done = ol0("trace", ended.decision_id, "--config", trials.place.config)
    assert done.returncode == 0, done.stderr
    outcome = trials.journal.first(Outcome, lambda it: it.decision_id == ended.decision_id)
    for said in (page, done.stdout):
        assert ended.session_id in said
        assert "thumb +1, from ann" in said
        assert f"Number {outcome.sequence:,} on the topic outcomes" in said
        assert trials.place.base.digest in said.replace("\n", "").replace(" ", "")
    # And of one that never was, what was looked through.
    unknown = ol0("trace", "7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a", "--config", trials.place.config)
    assert unknown.returncode == 1
    assert "Not found." in unknown.stdout
    assert re.search(r"decisions: [1-9]\d* records, appended", unknown.stdout)


def test_a_search_is_bounded_by_time_and_says_so(trials: Trials) -> None:
    ended, *_ = decide(trials)
    settings = trials.place.settings
    found = search(settings, ended.decision_id, Bounds(hours=1.0))
    assert found.decision == ended
    assert found.outcome is not None
    assert [said.feedback_id for said in found.said] == [f"of {ended.decision_id}"]
    assert all(place.searched.whole or place.is_enough for place in found.places)
    assert found.unread == ()
    none = search(settings, ended.decision_id, Bounds(hours=0.0))
    assert none.made is None
    assert {place.searched.records for place in none.places} == {0}
    hurried = search(settings, ended.decision_id, Bounds(within_s=0.0))
    assert not all(place.searched.whole for place in hurried.places)


def test_a_span_is_read_from_its_first_moment_to_its_last(trials: Trials) -> None:
    decide(trials, 2)
    lineage, now_ms = trials.place.lineage(), wall_clock_ms()

    def read(span: Span, text: bytes = b"session-") -> tuple[int, int]:
        reader = SpanReader(lineage, ("outcomes",), span, text)
        return len(list(reader.records(float("inf")))), reader.searched["outcomes"].records

    everything = read(Span(0, now_ms + HOUR_MS))
    assert everything[0] == everything[1] >= 2
    assert read(Span(0, now_ms + HOUR_MS), b"nothing like it") == (0, everything[1])
    assert read(Span(now_ms + HOUR_MS, now_ms + 2 * HOUR_MS)) == (0, 0)
    assert read(Span(0, 1)) == (0, 0)


def test_an_order_is_rehearsed_given_and_seen(trials: Trials, browser: Browser) -> None:
    live = trials.state().live
    browser.post("/sign-in", token=TOKEN)
    wish = {"actor": "ann", "reason": "launch day", "digest": "", "kind": "freeze"}
    shown = browser.post("/orders", form=field(browser.get(), "form"), **wish)
    assert "all candidates stop until" in shown
    assert "Frozen" not in browser.get()
    done = browser.post("/orders/give", form=field(shown, "form"), seal=field(shown, "seal"), **wish)
    assert f"{live.digest}</code> (step {live.step})" in done
    browser.wait_for("No candidate advances until", "ann ordered freeze: launch day.")
    again = browser.post("/orders", form=field(shown, "form"), **wish)
    assert "It is already so. No order was given." in again
    thaw = {**wish, "kind": "thaw"}
    shown = browser.post("/orders", form=field(shown, "form"), **thaw)
    browser.post("/orders/give", form=field(shown, "form"), seal=field(shown, "seal"), **thaw)
    browser.wait_for("may advance")


def test_a_console_that_others_could_reach_is_refused_without_a_token(trials: Trials) -> None:
    refused = ol0("console", "--host", "0.0.0.0", "--config", trials.place.config)  # noqa: S104 - what is refused
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "lets other machines look: set a token (--token or OL0_CONSOLE_TOKEN)" in refused.stderr


def test_a_port_that_is_taken_is_told_in_a_line(trials: Trials, browser: Browser) -> None:
    refused = ol0("console", "--port", str(browser.port), "--config", trials.place.config)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert f"--port {browser.port}: Address already in use; choose another" in refused.stderr


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[NativeStack]:
    with NativeStack(tmp_path / "stack") as running:
        yield running


def test_broker_and_store_may_go_and_come_back(own_stack: NativeStack, tmp_path: Path) -> None:
    settings = Settings.model_validate_json(write_settings(own_stack, tmp_path, {}).read_text())
    with Watch(sources_of(settings)) as watch:

        def trouble(part: Part) -> Callable[[], bool]:
            return lambda: watch.picture.trouble(part) is not None

        def well(*parts: Part) -> Callable[[], bool]:
            return lambda: not any(watch.picture.trouble(part) for part in parts)

        def wait_until_well() -> None:
            try:
                wait_until(well(*Part), 2 * WITHIN_S)
            except AssertionError as error:
                raise AssertionError(watch.picture.troubles) from error

        # Given a lineage without topics and without a store, then both are told, and gone once they are made.
        wait_until(lambda: trouble(Part.TOPICS)() and trouble(Part.STORE)(), WITHIN_S)
        apply_topics(settings)
        wait_until(lambda: well(*Part)() and watch.picture.caught_up, WITHIN_S)
        # When both are killed, then that is told, and what was known stays.
        os.kill(own_stack.brokers[0].pid, signal.SIGKILL)
        os.kill(own_stack.valkey.pid, signal.SIGKILL)
        wait_until(lambda: trouble(Part.BROKER)() and trouble(Part.STORE)(), WITHIN_S)
        assert watch.picture.caught_up
        assert watch.picture.stats is not None
        # When they are back, then nothing is amiss, and news are seen.
        restart_kafka(own_stack)
        restart_redis(own_stack)
        wait_until_well()
        order = OperatorCommand(OperatorKind.FREEZE, None, "ann", "launch day", wall_clock_ms())
        RecordSender(Lineage.of(settings.kafka)).send_all([order])
        wait_until(lambda: order in watch.picture.known.orders, WITHIN_S)
