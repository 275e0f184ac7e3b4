"""Makes ``records.json.gz``: what a lineage of a former build has on Kafka while a candidate is on trial.

    python tests/data/former_build/make_records.py COMMIT   (from the root of a clone that has the commit)

The commit's own code brings the base in, runs the services and writes every record that is kept.
"""

import base64
import gzip
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from benchmarks.upgrade.builds import Build, Fleet  # noqa: E402 - after the path is set
from ol0.clock import wall_clock_ms  # noqa: E402
from ol0.config import load_settings  # noqa: E402
from ol0.controller.checkpoint import read_checkpoint  # noqa: E402
from ol0.kafka.sending.record_sender import RecordSender  # noqa: E402
from ol0.records import ServingState, UserFeedback  # noqa: E402
from ol0.stacks.native import NativeStack  # noqa: E402
from ol0.supervisor.service_commands import SERVICES  # noqa: E402
from support.kafka_log import read_messages  # noqa: E402
from testbed.lineages import Journal, Place, small_prompts, small_split, write_settings  # noqa: E402
from testbed.waiting import wait_until  # noqa: E402

TREE: dict[str, dict[str, object]] = {
    "streaming": {"clock": "ticks", "batch_wait_s": 0.05, "reward_window_s": 1.0, "allowed_lateness_s": 0.2},
    "safety": {"stages": [{"share": 0.5, "harm_only": True, "min_decisions": 40}], "cooldown_s": 0.0},
    "online_learning": {"min_replay": 40, "examples_per_update": 8, "evidence_errors": 0.0, "anchors": 50},
}
EXAMPLES, WITHIN_S = 48, 90.0
KEPT = ("releases", "state")


def teach(place: Place) -> None:
    now_ms = wall_clock_ms()
    decisions = [place.decision(number, now_ms) for number in range(EXAMPLES)]
    thumbs = [UserFeedback(f"f{n}", it.decision_id, it.session_id, "user", now_ms, 1) for n, it in enumerate(decisions)]
    RecordSender(place.lineage()).send_all([*decisions, *thumbs])
    place.pass_windows(now_ms)


def main(commit: str, folder: Path) -> None:
    former, (prompts, old) = Build.of(commit, folder / "former"), small_prompts()
    np.savez(folder / "prompts.npz", X=prompts.features, P=prompts.success, old=old, group=prompts.groups)
    with NativeStack(folder / "stack") as stack, Fleet(write_settings(stack, folder, TREE), folder) as fleet:
        config = folder / "ol0.json"
        former.run("topics", "apply", "--config", config)
        former.run("warmup", "--data", folder / "prompts.npz", "--config", config)
        for name in SERVICES:
            fleet.start(name, former)
        settings, data = load_settings(config), (folder / "base.safetensors").read_bytes()
        place = Place(config, settings, read_checkpoint(data), data, small_split())
        with Journal(settings, "releases") as journal:
            journal.first(ServingState, within_s=WITHIN_S)
            teach(place)
            journal.first(ServingState, lambda it: it.staged is not None, within_s=WITHIN_S)
        lineage = place.lineage()
        names = {"release", "canary", "drift", "evaluator", "learner"}
        full = lineage.topics.full("state")
        wait_until(lambda: {it.key() for it in read_messages(lineage, full)} >= {it.encode() for it in names}, WITHIN_S)
        for name in SERVICES:
            fleet.stop(name)
        newest = {
            (name, it.key()): it.value() for name in KEPT for it in read_messages(lineage, lineage.topics.full(name))
        }
    records = [(name, encoded(key), encoded(value)) for (name, key), value in newest.items() if value is not None]
    files = {name: encoded((folder / name).read_bytes()) for name in ("base.safetensors", "suite.safetensors")}
    body = json.dumps({"commit": commit, "records": records, "files": files}).encode()
    Path(__file__).with_name("records.json.gz").write_bytes(gzip.compress(body, mtime=0))


def encoded(data: bytes | None) -> str:
    return base64.b64encode(data or b"").decode()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(sys.argv[1], Path(scratch))
