"""``ol0 snapshots`` on a real broker."""

import json
from pathlib import Path

import pytest

from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.kafka.snapshots import Positions, head_of, parts_of
from ol0.kafka.transactional_writer import read_stored
from ol0.records import Snapshot
from ol0.stacks.native import NativeStack
from testbed.lineages import Place, bring_in
from testbed.processes import ol0

LARGE, NOW_MS = bytes(2_500_000), 1_800_000_000_000


@pytest.fixture
def place(stack: NativeStack, tmp_path: Path) -> Place:
    """A lineage with the snapshots of three services, one of them in parts."""
    place = bring_in(stack, tmp_path, {})
    sender = RecordSender(Lineage.of(place.settings.kafka))
    where = Positions({}, None)
    for one in (*parts_of("canary", NOW_MS, LARGE), head_of("canary", NOW_MS, LARGE, where)):
        sender.send_all([one])
    sender.send_all([Snapshot("learner", NOW_MS, b"{}"), Snapshot("release", NOW_MS, b"{}")])
    return place


def listed(place: Place) -> dict[str, int]:
    found = ol0("snapshots", "list", "--json", "--config", place.config)
    assert found.returncode == 0, found.stderr
    return {it["key"]: len(it["parts"]) for it in json.loads(found.stdout)}


def test_a_snapshot_goes_with_its_parts_and_no_other(place: Place) -> None:
    assert listed(place) == {"canary": 3, "learner": 0, "release": 0}
    assert "2,5" in ol0("snapshots", "list", "--config", place.config).stdout
    # When its deletion is rehearsed, and then answered with no
    for words, answer in ((("--dry-run",), ""), ((), "n\n")):
        kept = ol0("snapshots", "delete", "canary", *words, "--config", place.config, answer=answer)
        assert "would go for good" in kept.stdout
        assert "nothing was changed" in kept.stdout
    assert listed(place)["canary"] == 3
    # Then it is there until it is confirmed
    done = ol0("snapshots", "delete", "canary", "--config", place.config, answer="y\n")
    assert "deleted; restart the service canary" in done.stdout, done.stderr
    assert listed(place) == {"learner": 0, "release": 0}
    lineage = Lineage.of(place.settings.kafka)
    assert read_stored("canary", lineage) is None
    assert read_stored("learner", lineage) is not None


@pytest.mark.parametrize(
    ("key", "complaint"),
    [("release", "restore the topic from its backup"), ("lerner", "there are: canary, learner, release")],
)
def test_what_must_stay_and_what_is_not_there_are_refused(place: Place, key: str, complaint: str) -> None:
    refused = ol0("snapshots", "delete", key, "--yes", "--config", place.config)
    assert refused.returncode == 2
    assert complaint in refused.stderr
    assert len(listed(place)) == 3
