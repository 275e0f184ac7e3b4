from dataclasses import replace

import pytest

from ol0.controller.checkpoint_manager import CheckpointManager
from ol0.errors import CheckpointError, SignatureError
from ol0.records import Candidate, Digest
from support.keyrings import keyring, new_keys
from testbed.worlds import make_base, make_candidate

BASE = make_base()
GOOD = make_candidate(BASE).candidate()
OTHER = Digest("e" * 64)
ONE, TWO, THREE = (Digest(name * 64) for name in "123")


def test_a_candidate_that_is_what_it_says_is_opened() -> None:
    manager = CheckpointManager()
    assert manager.open(GOOD).digest == GOOD.digest
    assert manager.open(BASE.candidate()).digest == BASE.digest


@pytest.mark.parametrize(
    ("candidate", "complaint"),
    [
        (replace(GOOD, digest=OTHER), "its bytes were changed"),
        (replace(GOOD, base=OTHER), "another base or parent than the record"),
        (replace(GOOD, parent=OTHER), "another base or parent than the record"),
        (replace(GOOD, step=2), "the manifest says step 1, the record 2"),
        (replace(BASE.candidate(), base=OTHER), "step 0 is the base"),
        (replace(GOOD, heads=b""), "its bytes were changed"),
    ],
)
def test_one_that_is_not_is_refused(candidate: Candidate, complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        CheckpointManager().open(candidate)


def test_the_signature_comes_first() -> None:
    ring = keyring(new_keys())
    manager = CheckpointManager(ring)
    assert manager.open(ring.sign(GOOD)).digest == GOOD.digest
    with pytest.raises(SignatureError, match="is not signed"):
        manager.open(replace(GOOD, heads=b"not even looked at"))


def test_snapshots_of_the_newest_releases_are_kept_and_what_is_needed_beside_them() -> None:
    manager = CheckpointManager(keep=1, snapshots={ONE: b"1", TWO: b"2"})
    manager.keep(THREE, b"3")
    assert manager.prune([OTHER, None], [ONE, TWO, THREE]) == [ONE, TWO]
    assert [manager.snapshot(digest) for digest in (ONE, TWO, THREE)] == [None, None, b"3"]
    manager.keep(ONE, b"1 again")
    assert manager.prune([ONE], [TWO, THREE]) == []
    assert manager.snapshot(ONE) == b"1 again"
