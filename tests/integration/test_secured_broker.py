"""A lineage whose broker and store ask who you are, with the rights that docs/operating.md lists, and no other."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from ol0.config import Settings
from ol0.kafka.dead_letters.reader import read_letters
from ol0.kafka.lineage import Lineage
from ol0.kafka.rights import SEEING
from ol0.operator.setup.lineage import apply_topics, warm_up
from ol0.operator.setup.prompts import Split
from ol0.operator.store.forget import forget_user, user_pseudonym
from ol0.operator.store.selection import Selection
from ol0.records import Candidate, OperatorCommand, ServingState
from ol0.replay import script_runner
from ol0.replay.connection import connect
from ol0.replay.exclusion import Exclusion
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.simulation.users import Users
from ol0.supervisor.guard import GuardedProcess
from ol0.supervisor.service_commands import SERVICES
from ol0.wire.codec import Codec
from ol0.wire.payloads import Payloads
from support.acl_table import EVERY, PREFIX, Right, rights, store_commands
from support.secured_broker import ADMIN
from support.secured_lineage import HABITS, PASSWORD, LogIn, SecuredLineage, secured, with_certificate, with_password
from support.store_servers import StoreServer
from testbed.lineages import Journal, Tree, small_split
from testbed.processes import ol0
from testbed.unwritable import set_option
from testbed.waiting import wait_until

READ_BY_SOMEBODY = (
    "decisions",
    "feedback.user",
    "feedback.tool",
    "feedback.implicit",
    "outcomes",
    "candidates",
    "verdicts",
    "operator",
)
FOLDER = Path(script_runner.__file__).parent / "scripts"
SCRIPTS = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.lua")}
IMPLIED = {"AlterConfigs": "DescribeConfigs"}
AFTER_UPGRADES = {Right(gate, "group", "Describe", "ol0.reader.releases") for gate in ("canary", "drift")}
OF_LARGE_CHECKPOINTS = {Right("host", "group", "Describe", "ol0.bounds")} | {
    right for right in rights(PREFIX) if right.name in {"ol0.tensors.v1", "ol0.reader.tensors"}
}
WITHIN_S = 40.0


@pytest.mark.parametrize("log_in", [with_password, with_certificate])
def test_with_the_rights_of_the_page_all_of_a_lineage_works_and_each_of_them_is_used(
    tmp_path: Path, log_in: LogIn
) -> None:
    with secured(tmp_path, log_in) as lineage:
        split = small_split()
        # Given a lineage that an operator with the operator's rights has made
        operator = lineage.settings("operator")
        apply_topics(operator)
        warm_up(operator, split, tmp_path, seed=0)
        with lineage.services(), Journal(operator, "releases", "candidates", "operator") as journal:
            # Then its base serves
            journal.first(ServingState)
            with Router.open(lineage.settings("host")) as host:
                # And what a host writes is learnt from
                Users(host, split.stream, split.base, HABITS, 0).run(2_500, Event())
                journal.first(Candidate, lambda it: it.step > 0)
                assert host.refused is None
                # And a user is forgotten whose window is still open
                assert forgotten_windows(operator, host, split) == 1
            assert host.account.delivered == host.account.made
            # And every command does what it says
            use_every_command(lineage)
            journal.first(OperatorCommand)
            spoil_every_topic(lineage)
        let_topics_differ(lineage)
        say(lineage, "operator", "replay", "rebuild", "--apply", "--force")
        # And nobody was denied anything, and no right was superfluous
        assert lineage.broker.decisions("Denied") == set()
        allowed = lineage.broker.decisions("Allowed")
        unused = {right for right in rights(PREFIX) if not any(one.is_covered_by(right) for one in allowed)}
        assert unused <= AFTER_UPGRADES | OF_LARGE_CHECKPOINTS
        check_store(lineage.store)
        # And no log has a secret in it
        logs = {path.stem: path.read_text() for path in lineage.logs.iterdir()}
        assert set(logs) == set(SERVICES)
        assert [name for name, text in logs.items() if PASSWORD in text] == []


def say(lineage: SecuredLineage, principal: str, *words: str, changes: Tree | None = None) -> str:
    """What a command of this principal prints."""
    done = ol0(*words, "--config", lineage.config(principal, changes))
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout


def forgotten_windows(operator: Settings, host: Router, split: Split) -> int:
    """How many windows of a user were open who has just asked something."""
    with host.prompt("of ann", user="ann") as prompt:
        prompt.decide(split.stream.features[0])
    matches = Selection(pseudonym=user_pseudonym(operator, "ann")).matches(Payloads(Codec()))
    exclusion = Exclusion(connect(operator.redis), PREFIX)
    wait_until(lambda: exclusion.windows(matches), WITHIN_S)
    return forget_user(operator, "ann", "a test", "").windows


def use_every_command(lineage: SecuredLineage) -> None:
    decision = ("7e0f3c52-6c1b-4f0e-9d1a-1f2e3d4c5b6a", "--session", "s", "--thumb", "1")
    assert "ok: lineage ol0" in say(lineage, "operator", "config", "check")
    assert "live the base" in say(lineage, "operator", "status")
    say(lineage, "operator", "releases", "list")
    say(lineage, "operator", "releases", "freeze")
    say(lineage, "operator", "releases", "thaw")
    say(lineage, "operator", "replay", "stats")
    say(lineage, "operator", "replay", "exclude", "--user", "user-1", "--apply")
    say(lineage, "operator", "forget", "user-2", "--yes")
    say(lineage, "operator", "report")
    say(lineage, "sender", "send", *decision)


def spoil_every_topic(lineage: SecuredLineage) -> None:
    """Until every service that reads one has written its dead letter of it."""
    full = Lineage.of(lineage.settings("operator").kafka)
    for name in READ_BY_SOMEBODY:
        door, options = lineage.log_in(lineage.broker, "sender" if name.startswith("feedback") else ADMIN)
        producer = Producer({"bootstrap.servers": door, **options, "log_level": 0})
        producer.produce(full.topics.full(name), b"no record", key=b"s", partition=0)
        assert not producer.flush(10)
    expected = {(right.principal, right.name) for right in rights(PREFIX) if right.name.endswith(".dlq")}

    def missing() -> set[tuple[str, str]]:
        return expected - {(one.service, one.found_at.topic) for one in read_letters(full, READ_BY_SOMEBODY)}

    deadline_s = time.monotonic() + WITHIN_S
    while left := missing():
        assert time.monotonic() < deadline_s, left


def let_topics_differ(lineage: SecuredLineage) -> None:
    """So that there is a partition to add and a setting to set."""
    admin = Lineage.of(lineage.settings(ADMIN).kafka)
    set_option(admin, f"{PREFIX}.outcomes.v1", "retention.ms", "1000000")
    tree = {"kafka": {"partitions": {"decisions": 3}}}
    say(lineage, "operator", "topics", "apply", changes=tree)


def check_store(store: StoreServer) -> None:
    """Nothing was refused, and every command of the page was used."""
    found = {name.removeprefix("cmdstat_"): figures for name, figures in store.client.info("commandstats").items()}
    assert {name for name, figures in found.items() if figures["rejected_calls"]} == set()
    assert (store_commands("services") | store_commands("operator")) - found.keys() == set()


@pytest.mark.parametrize(
    ("user", "scripts"),
    [
        ("services", set(SCRIPTS) - {"register"}),
        ("operator", {"prelude", "register", "bound", "exclude", "forget", "refresh"}),
    ],
)
def test_a_user_of_the_store_may_run_whatever_its_scripts_call_also_what_a_short_run_does_not(
    user: str, scripts: set[str]
) -> None:
    called = {word.lower() for name in scripts for word in re.findall(r"call\('([A-Z]+)'", SCRIPTS[name])}
    assert called - store_commands(user) == set()


def test_no_right_of_the_page_is_part_of_another_one() -> None:
    given = rights(PREFIX)
    parts = {**IMPLIED, "Read": "Describe", "Write": "Describe", "Alter": "Describe"}
    assert [one for one in given if (part := parts.get(one.operation)) and replace(one, operation=part) in given] == []


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredLineage]:
    """A lineage whose base serves, and none of whose services runs."""
    folder = tmp_path_factory.mktemp("secured")
    with secured(folder, with_password) as lineage:
        operator = lineage.settings("operator")
        apply_topics(operator)
        warm_up(operator, small_split(), folder, seed=0)
        with lineage.services(("canary", "drift", "release")), Journal(operator, "releases") as journal:
            journal.first(ServingState)
        yield lineage


@contextmanager
def without(place: SecuredLineage, right: Right) -> Iterator[None]:
    place.broker.withdraw(right)
    try:
        yield
    finally:
        place.broker.allow([right])


TOPIC, GROUP, TRANSACTIONS = "topic", "group", "transactional id"


@pytest.mark.parametrize(
    "right",
    [
        Right("feedback", TOPIC, "Read", "ol0.decisions.v1"),
        Right("feedback", TOPIC, "Write", "ol0.feedback.tool.v1"),
        Right("feedback", TOPIC, "Read", "ol0.operator.v1"),
        Right("feedback", TOPIC, "DescribeConfigs", "ol0.decisions.v1"),
        Right("feedback", GROUP, "Read", "ol0.feedback"),
        Right("feedback", GROUP, "Describe", "ol0.reader.operator"),
        Right("learner", TOPIC, "Read", "ol0.releases.v1"),
        Right("learner", TRANSACTIONS, "Write", "ol0.learner"),
        Right("canary", TOPIC, "Read", "ol0.candidates.v1"),
        Right("canary", TOPIC, "Write", "ol0.state.v1"),
        Right("canary", GROUP, "Read", "ol0.canary"),
    ],
    ids=str,
)
def test_a_service_that_lacks_a_right_names_it(place: SecuredLineage, right: Right) -> None:
    command = place.command(right.principal)
    command.log.unlink(missing_ok=True)
    with without(place, right):
        process = GuardedProcess.start(command.argv, log=command.log, env=command.env)
        try:
            wait_until(lambda: names(place.log(right.principal), right), WITHIN_S)
        finally:
            process.stop(10)


def names(text: str, right: Right) -> bool:
    """Whether it says what is missing; of a topic without any right, that it lacks all that let somebody see it."""
    operation = f"{right.operation}|{IMPLIED.get(right.operation, SEEING)}"
    name = re.escape(right.name.removesuffix(EVERY))
    return re.search(rf"({operation}) on( {right.kind})? [^;]*{name}", text) is not None


@pytest.mark.parametrize(
    ("right", "words"),
    [
        (Right("operator", TOPIC, "AlterConfigs", "ol0.*"), ("topics", "diff")),
        (Right("operator", TOPIC, "Read", "ol0.*"), ("releases", "list")),
        (Right("operator", TOPIC, "Write", "ol0.operator.v1"), ("forget", "ann", "--yes")),
        (Right("operator", GROUP, "Describe", "ol0.*"), ("replay", "rebuild")),
        (
            Right("sender", TOPIC, "Write", "ol0.feedback.user.v1"),
            ("send", "58647b19-1ef1-4c79-86f1-57bbcbb7de03", "--session", "s", "--thumb", "1"),
        ),
    ],
    ids=str,
)
def test_a_command_that_lacks_a_right_names_it(place: SecuredLineage, right: Right, words: tuple[str, ...]) -> None:
    with without(place, right):
        done = ol0(*words, "--config", place.config(right.principal))
    assert done.returncode == 1
    assert names(done.stderr, right), done.stderr
    assert "Traceback" not in done.stderr


def test_topics_that_may_not_be_made_are_told_with_the_right(place: SecuredLineage) -> None:
    mine = {right for right in rights("other") if right.principal == "operator" and right.operation != "Create"}
    place.broker.allow(mine)
    done = ol0("topics", "apply", "--config", place.config("operator", {"kafka": {"topic_prefix": "other"}}))
    assert done.returncode == 1
    assert "Create on topic other.decisions.v1 is missing; docs/operating.md" in done.stderr


def test_a_host_that_may_not_write_serves_counts_its_losses_and_names_the_right(
    place: SecuredLineage, caplog: pytest.LogCaptureFixture
) -> None:
    right = Right("host", TOPIC, "Write", "ol0.decisions.v1")
    with without(place, right), Router.open(place.settings("host")) as host:
        with host.prompt("session") as prompt:
            prompt.decide(small_split().stream.features[0])
        wait_until(lambda: host.dropped, WITHIN_S)
        assert host.account.reasons == {"TOPIC_AUTHORIZATION_FAILED": 1}
    assert "Write on topic ol0.decisions.v1 is missing" in caplog.text


def test_a_host_that_may_not_read_releases_serves_its_base_and_names_the_right(
    place: SecuredLineage, caplog: pytest.LogCaptureFixture
) -> None:
    right = Right("host", TOPIC, "Read", "ol0.releases.v1")
    with without(place, right), Router.open(place.settings("host"), Options(wait_s=1.0)) as host:
        assert host.age_s is None
        wait_until(lambda: "on topic ol0.releases.v1 is missing" in caplog.text, WITHIN_S)


def test_who_gives_no_name_sees_nothing(place: SecuredLineage) -> None:
    assert AdminClient({"bootstrap.servers": place.broker.open_door}).list_topics(timeout=10).topics == {}
    stranger = AdminClient(
        {"bootstrap.servers": place.broker.password_door, **place.broker.with_password("stranger", "pw")}
    )
    assert stranger.list_topics(timeout=10).topics == {}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sasl.password": "wrong"}, "SASL authentication error"),
        ({"ssl.ca.location": None}, "certificate verify failed"),
        ({"security.protocol": "PLAINTEXT"}, "no broker answers"),
    ],
)
def test_a_login_that_fails_is_told_with_its_cause(
    place: SecuredLineage, options: dict[str, str | None], words: str
) -> None:
    _, given = place.log_in(place.broker, "operator")
    wrong = {name: value for name, value in {**given, **options}.items() if value is not None}
    done = ol0("config", "check", "--config", place.config("operator", {"kafka": {"options": wrong}}))
    assert done.returncode == 1
    assert words in done.stdout + done.stderr
    assert PASSWORD not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["evalsha", "info", "hget"])
def test_a_service_whose_user_of_the_store_lacks_a_command_names_it(place: SecuredLineage, command: str) -> None:
    store = place.store
    store.ask("ACL", "SETUSER", "services", f"-{command}")
    service = place.command("feedback")
    service.log.unlink(missing_ok=True)
    try:
        process = GuardedProcess.start(service.argv, log=service.log, env=service.env)
        wait_until(lambda: process.poll() is not None, WITHIN_S)
        process.stop(1)
    finally:
        store.ask("ACL", "SETUSER", "services", f"+{command}")
    assert f"'{command}'" in place.log("feedback")
    assert "docs/operating.md" in place.log("feedback")
