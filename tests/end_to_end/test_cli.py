import json
import re
import stat
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ol0.clock import wall_clock_ms
from ol0.config import SecurityConfig, Signer
from ol0.controller.signing import Keyring
from ol0.controller.warmup import base_checkpoint
from ol0.errors import StoreError
from ol0.kafka.sending.record_sender import RecordSender
from ol0.operator.setup.lineage import warm_up
from ol0.records import Outcome, ServingState
from ol0.stacks.native import NativeStack
from support.terminal import terminal
from support.trials import new_security
from testbed.lineages import Journal, Place, bring_in, services, small_prompts, write_settings
from testbed.processes import ol0
from testbed.waiting import wait_until

WRONG_SETTING = 2
UP_WITHIN_S = 60.0


def write(folder: Path, tree: object) -> Path:
    path = folder / "ol0.json"
    path.write_text(json.dumps(tree))
    return path


@pytest.fixture(scope="module")
def place(stack: NativeStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A lineage whose base serves. Its event time does not advance, so that no window closes on a slow machine."""
    place = bring_in(stack, tmp_path_factory.mktemp("cli"), {"streaming": {"clock": "ticks"}})
    with services(place, ("feedback", "canary", "drift", "release")), Journal(place.settings, "releases") as journal:
        journal.first(ServingState)
        yield place


def test_a_warm_up_with_another_base_is_refused_and_leaves_the_files_of_the_one_that_serves(place: Place) -> None:
    files = (place.config.parent / "base.safetensors", place.config.parent / "suite.safetensors")
    before = [file.read_bytes() for file in files]
    others = replace(place.split, suite=place.split.suite.rows(np.arange(len(place.split.suite) - 1)))
    with pytest.raises(StoreError, match="other anchors: they belong to the base of this lineage"):
        warm_up(place.settings, others, place.config.parent, seed=1)
    assert [file.read_bytes() for file in files] == before


def test_config_show_prints_every_setting_and_masks_secrets(tmp_path: Path) -> None:
    tree = {
        "safety": {"stage_margin": 0.03},
        "redis": {"url": "redis://:hunter2@store:6379/0"},
        "kafka": {"options": {"sasl.username": "ann", "sasl.password": "hunter2"}},
    }
    config = write(tmp_path, tree)
    shown = ol0("config", "show", "--config", config, env={"OL0_SERVING__EPSILON": "0.25"})
    assert shown.returncode == 0
    settings = json.loads(shown.stdout)
    assert (settings["safety"]["stage_margin"], settings["serving"]["epsilon"]) == (0.03, 0.25)
    assert settings["streaming"]["reward_window_s"] == 600
    assert "hunter2" not in shown.stdout
    assert settings["redis"]["url"] == "redis://:**********@store:6379/0"
    assert settings["kafka"]["options"] == {"sasl.username": "ann", "sasl.password": "**********"}


def test_config_check_names_the_lineage_and_what_a_service_still_misses(tmp_path: Path) -> None:
    config = write(tmp_path, {"kafka": {"topic_prefix": "shop", "bootstrap_servers": "log:9092"}})
    checked = ol0("config", "check", "--offline", "--config", config, env={"OL0_SAFETY__SUITE": "none.safetensors"})
    assert checked.returncode == 0
    no_base, no_suite, no_arm_key, no_user_key, right = checked.stdout.splitlines()
    assert no_base.startswith("not yet: serving.base is not set, and feedback and every host cannot start without it")
    assert no_suite.startswith(
        "not yet: safety.suite none.safetensors does not exist, and canary and drift cannot start"
    )
    assert (
        no_arm_key
        == "not yet: serving.arm_key is not set, and no host can start without it: `ol0 keys host` prints one"
    )
    assert no_user_key.startswith("not yet: serving.user_key is not set")
    assert right == "ok: lineage shop on log:9092"


def test_all_services_end_with_the_words_of_the_one_that_refuses_its_settings(tmp_path: Path) -> None:
    config = write(tmp_path, {"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    run = ol0("run", "--config", config, "--logs", tmp_path / "logs")
    assert run.returncode == WRONG_SETTING
    said = run.stderr.splitlines()[-1]
    assert re.match(r"ol0: \w+ cannot run with these settings: (serving\.base|safety\.suite) is not set", said)
    assert "Traceback" not in run.stderr


def test_config_check_looks_at_the_running_lineage(place: Place, tmp_path: Path) -> None:
    right = ol0("config", "check", "--config", place.config)
    prefix = place.settings.kafka.topic_prefix
    assert (right.returncode, right.stdout) == (
        0,
        f"ok: lineage {prefix} on {place.settings.kafka.bootstrap_servers}\n",
    )

    tree = json.loads(place.config.read_text())
    other = tmp_path / "other.safetensors"
    other.write_bytes(base_checkpoint(place.base.manifest.parts, place.base.base, epsilon=0.2))
    tree["serving"]["base"] = str(other)
    tree["kafka"] |= {"replication": 3}
    tree["online_learning"] = tree.get("online_learning", {}) | {"replay_size": 77}
    wrong = ol0("config", "check", "--config", write(tmp_path, tree))
    assert wrong.returncode == 1
    for text in (
        "kafka.replication is 3, but the cluster has 1",
        "not yet: `ol0 topics apply` would make",
        f"this lineage runs with base {place.base.digest[:12]}",
        "online_learning.replay_size is 77, but the ring has",
    ):
        assert text in wrong.stdout


@pytest.mark.parametrize(
    ("tree", "answer"),
    [
        ({"safety": {"stage_margn": 0.03}}, "safety.stage_margn: unknown key; did you mean safety.stage_margin?"),
        ({"safty": {}}, "safty: unknown key; did you mean safety?"),
        ({"serving": {"epsilon": 2}}, "serving.epsilon: Input should be less than or equal to 1"),
        ({"kafka": {"options": {"security.protocl": "SSL"}}}, 'No such configuration property: "security.protocl"'),
    ],
)
def test_config_check_says_what_is_wrong_and_what_is_right(tmp_path: Path, tree: object, answer: str) -> None:
    checked = ol0("config", "check", "--config", write(tmp_path, tree))
    assert checked.returncode == WRONG_SETTING
    assert answer in checked.stderr
    assert "Traceback" not in checked.stderr


def test_topics_are_applied_once_and_nothing_is_left_to_change(stack: NativeStack, tmp_path: Path) -> None:
    config = write_settings(stack, tmp_path, {})
    prefix = json.loads(config.read_text())["kafka"]["topic_prefix"]
    assert ol0("topics", "diff", "--config", config).returncode == 1

    first = ol0("topics", "apply", "--config", config)
    second = ol0("topics", "apply", "--config", config)

    assert (first.returncode, second.returncode) == (0, 0)
    assert f"{prefix}.feedback.user.v1.dlq" in first.stdout
    assert "changes made" in first.stdout
    assert second.stdout == "nothing to change\n"
    assert ol0("topics", "diff", "--config", config).stdout == "nothing to change\n"


def test_status_shows_what_serves_what_waits_and_the_last_word_of_both_gates(place: Place) -> None:
    # Given a base that serves, and a decision whose window is open.
    before = place.counters().open
    RecordSender(place.lineage()).send_all([place.decision(0, wall_clock_ms())])
    wait_until(lambda: place.counters().open == before + 1, 30)
    # When somebody asks.
    status = ol0("status", "--config", place.config)
    # Then all of it is said.
    assert status.returncode == 0, status.stderr
    base = place.base.digest[:8]
    assert f"lineage {place.prefix}" in status.stdout
    assert f"base {base}   live the base   apply   state 1" in status.stdout
    assert f"{before + 1} open window" in status.stdout
    for gate in ("canary", "drift"):
        assert f"{gate} says approve of {base} at stage 0:" in status.stdout
    assert "warmup.canary_threshold" in status.stdout
    assert "mean KL(base || candidate)" in status.stdout


def test_status_watches_in_a_window_of_any_size_until_it_is_ended(place: Place, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ol0", "status", "--watch", "--config", str(place.config)]
    with terminal(80, 24, command, tmp_path) as window:
        window.wait_until(lambda: "─" * 80 in window.lines, UP_WITHIN_S)
        assert f"lineage {place.prefix}" in window.lines
        assert "…" not in window.text
        window.resize(160, 50)
        window.wait_until(lambda: "─" * 160 in window.lines, UP_WITHIN_S)
        assert "more lines" not in window.text
        assert "mean KL(base || candidate)" in window.text
    assert window.process.returncode == 0


def test_what_is_sent_by_hand_counts_in_the_reward(place: Place) -> None:
    # Given a decision.
    decision = place.decision(1, wall_clock_ms())
    RecordSender(place.lineage()).send_all([decision])
    # When a person says of it, on the command line, first this and then that.
    another = str((decision.action[0] + 1) % 4)
    for words in (("--thumb", "1"), ("--thumb", "-1", "--rating", "5", "--correction", another)):
        sent = ol0("send", decision.decision_id, "--session", decision.session_id, *words, "--config", place.config)
        assert (sent.returncode, sent.stdout[:5]) == (0, "sent "), sent.stderr
    place.pass_windows(wall_clock_ms())
    # Then the last word of each kind is in its outcome.
    with Journal(place.settings, "outcomes") as journal:
        outcome = journal.first(Outcome, lambda it: it.decision_id == decision.decision_id)
    parts = outcome.parts
    assert (parts.thumb, parts.rating, parts.correction, outcome.reward) == (0.0, 1.0, 0.0, 0.25)


def test_what_nobody_could_take_is_not_sent(place: Place) -> None:
    sent = ol0("send", str(uuid.uuid4()), "--session", "s", "--rating", "6", "--config", place.config)
    assert (sent.returncode, sent.stderr) == (1, "ol0: rating: 6; 1 to 5 are right\n")


def test_saying_nothing_of_a_decision_is_refused_with_the_options_that_say_something(tmp_path: Path) -> None:
    sent = ol0("send", str(uuid.uuid4()), "--session", "s", "--config", write(tmp_path, {}))
    said = "ol0: no feedback given: add --thumb, --rating or --correction\n"
    assert (sent.returncode, sent.stderr) == (1, said)


def test_a_base_that_fails_its_suite_is_refused_with_the_threshold_that_it_would_pass(tmp_path: Path) -> None:
    refused = ol0("warmup", "--out", tmp_path / "out", "--config", write(tmp_path, {}))
    assert refused.returncode == WRONG_SETTING
    assert "the base is worth 73.1% of its canary suite" in refused.stderr
    assert "set warmup.canary_threshold to 0.73 at most" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_new_keys_sign_and_are_believed_with_the_very_settings_that_are_printed(tmp_path: Path) -> None:
    # When somebody makes keys, and puts what is printed into the settings.
    security = SecurityConfig.model_validate(new_security(tmp_path / "keys"))
    # Then every signer has a key that everybody believes, and that nobody else may read.
    for signer in Signer:
        assert Keyring.of(security, "shop", signer).signs_with(signer)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()}
    assert modes == {f"{one}.key": 0o600 for one in Signer} | {f"{one}.pub": 0o644 for one in Signer}


def test_one_new_key_is_made_where_one_is_asked_for(tmp_path: Path) -> None:
    made = ol0("keys", "new", "--out", tmp_path, "--only", "drift")
    assert made.returncode == 0, made.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["drift.key", "drift.pub"]
    assert f'drift = ["{(tmp_path / "drift.pub").read_text().strip()}"]' in made.stdout
    assert "canary" not in made.stdout


def test_keys_that_are_there_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "drift.key").write_text("mine")
    again = ol0("keys", "new", "--out", tmp_path)
    assert (again.returncode, again.stdout) == (WRONG_SETTING, "")
    assert f"{tmp_path / 'drift.key'}: there already, and never overwritten" in again.stderr
    assert "--out" in again.stderr
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("drift.key", "mine")]


def test_the_help_on_keys_says_how_to_make_all_and_how_to_change_one() -> None:
    said = " ".join(ol0("keys", "new", "--help").stdout.split())
    assert "ol0 keys new --out /etc/ol0/keys" in said
    assert "--only drift" in said


def test_a_demo_on_a_file_that_lacks_arrays_says_which(tmp_path: Path) -> None:
    data = tmp_path / "prompts.npz"
    np.savez(data, X=np.zeros((500, 3)), old=np.ones(500, bool))
    demo = ol0("demo", "--data", data, "--out", tmp_path / "out")
    assert demo.returncode == WRONG_SETTING
    assert demo.stderr.startswith(f"ol0: {data}: P, group missing; it holds X, old; numpy.savez(FILE, X=..., P=...")


def test_a_demo_leaves_a_folder_alone_that_no_run_made(tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("years of work")
    demo = ol0("demo", "--out", tmp_path)
    assert demo.returncode == WRONG_SETTING
    assert (
        demo.stderr == f"ol0: {tmp_path} is not empty and was not created by a run: choose another folder with --out\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert thesis.read_text() == "years of work"


def test_simulated_users_ask_a_running_lineage_and_say_what_arrived(place: Place, tmp_path: Path) -> None:
    before = place.counters().decisions
    refused = ol0("users", "--config", place.config, "--decisions", "60")
    assert refused.returncode == 1  # the demo's prompts are none of this small lineage's
    assert "features have shape (384,); (6,) is right" in refused.stderr
    prompts, old = small_prompts()
    np.savez(tmp_path / "small.npz", X=prompts.features, P=prompts.success, old=old, group=prompts.groups)
    words = ("--data", tmp_path / "small.npz", "--decisions", "60", "--rate", "200")
    done = ol0("users", "--config", place.config, *words)
    assert done.returncode == 0, done.stderr
    assert "60 decisions and" in done.stdout
    assert "records delivered, 0 lost" in done.stdout
    wait_until(lambda: place.counters().decisions == before + 60, 30)
