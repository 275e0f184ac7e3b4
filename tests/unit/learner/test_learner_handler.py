from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from structlog.testing import capture_logs

from ol0.config import OnlineLearningConfig
from ol0.controller import chunks
from ol0.controller.checkpoint import Opener, digest_of, read_checkpoint
from ol0.controller.chunks import chunks_of, join, split
from ol0.learner.handler import SERVICE, LearnerHandler, snapshot_key
from ol0.learning.gradient.trainer import HeadTrainer
from ol0.learning.progress import Progress
from ol0.learning.values.trainer import ValueTrainer
from ol0.records import Candidate, Chunk, Digest, Record, Release, ServingState, Snapshot
from unit.learning.learner_world import SMALL, logged, make_base, make_replay, release_of, serving

BASE = make_base()
VALUES = SMALL.model_copy(update={"learner": "values"})
both = pytest.mark.parametrize("config", [SMALL, VALUES], ids=["gradient", "values"])


class Lineage:
    """A handler, its replay buffer and the log that it writes to."""

    def __init__(self, config: OnlineLearningConfig = SMALL, *, examples: int = 200) -> None:
        self.config = config
        self.replay = make_replay(BASE, config, examples=examples)
        self.state = serving(BASE)
        self.log: dict[str, bytes] = {}
        self.candidates: list[Candidate] = []
        self.opener: Opener = read_checkpoint
        self.start()

    def start(self) -> None:
        ticks = count()
        self.handler = LearnerHandler(
            self.state,
            self.log,
            self.replay,
            self.config,
            seed=3,
            clock=lambda: float(next(ticks)),
            opener=self.opener,
        )
        self.write(self.handler.handle(self.state))

    def write(self, records: Iterable[Record]) -> None:
        for record in records:
            if isinstance(record, Snapshot):
                self.log[record.service] = record.body
            elif isinstance(record, Candidate):
                self.candidates.append(record)

    def train(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            self.handler.train()

    def more(self, examples: int = 64) -> None:
        self.replay.add(logged(BASE, examples, seed=self.replay.examples, new=True), watermark_ms=2_000)

    def offer(self) -> Candidate:
        self.write(self.handler.offer())
        for key in self.handler.prune():
            del self.log[key]
        return self.candidates[-1]

    def tell(self, live: Release, *, failures: int = 0, decided_step: int | None = None) -> ServingState:
        decided = self.candidates[-1].step if decided_step is None else decided_step
        self.state = replace(
            self.state, sequence=self.state.sequence + 1, live=live, failures=failures, decided_step=decided
        )
        self.write(self.handler.handle(self.state))
        return self.state

    def release(self) -> Release:
        """Trains on more examples, offers, and lets the candidate go live."""
        self.more()
        self.train()
        release = as_release(self.offer())
        self.tell(release)
        return release

    @property
    def weights(self) -> bytes:
        return self.handler._learner.snapshot()

    @property
    def progress(self) -> Progress:
        return Progress.unpack(self.log[SERVICE])


def as_release(candidate: Candidate) -> Release:
    return release_of(read_checkpoint(candidate.heads), candidate.heads)


@both
def test_one_transaction_holds_candidate_progress_and_snapshot(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    lineage.train()
    candidate, progress, snapshot = lineage.handler.offer()
    assert isinstance(candidate, Candidate)
    assert isinstance(progress, Snapshot)
    assert isinstance(snapshot, Snapshot)
    assert progress.service == SERVICE
    assert snapshot.service == snapshot_key(candidate.digest)
    assert snapshot.body == lineage.weights
    assert candidate.digest == digest_of(candidate.heads)
    assert (candidate.parent, candidate.base, candidate.step) == (BASE.digest, BASE.digest, 1)
    assert candidate.time_ms == progress.time_ms == snapshot.time_ms == lineage.replay.watermark_ms


def test_the_summary_names_every_term_and_what_the_candidate_measures() -> None:
    lineage = Lineage()
    lineage.train()
    summary = lineage.offer().summary
    terms = {"gain", "anchor_kl", "ewc", "proximal", "reward_model", "mixer"}
    assert terms | {"kl_to_base", "regret", "mixer_threshold", "examples", "seconds_per_step"} <= set(summary)
    assert summary["examples"] == 200
    # 16 updates of two steps between two ticks of the clock
    assert summary["seconds_per_step"] == 1 / 32
    assert summary["gain"] < 0


@both
def test_debt_is_paid_in_rounds_and_only_once(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    assert [lineage.handler.train() for _ in range(3)] == [16, 9, 0]


@both
def test_nothing_is_trained_on_an_empty_ring(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config, examples=0)
    assert lineage.handler.train() == 0
    assert lineage.handler.offer() == []


@both
def test_nothing_is_offered_that_learnt_nothing_since(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    assert lineage.handler.offer() == []
    lineage.release()
    assert lineage.handler.offer() == []


@both
def test_one_candidate_is_outstanding(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    lineage.train()
    lineage.offer()
    lineage.more()
    lineage.train(2)
    assert lineage.handler.offer() == []
    lineage.tell(lineage.state.live)
    assert lineage.offer().step == 2


@both
def test_the_next_candidate_names_the_release_as_its_parent(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    first = lineage.release()
    lineage.more()
    lineage.train()
    assert lineage.offer().parent == first.digest


@both
def test_after_a_plain_rejection_the_weights_stay(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    lineage.train()
    lineage.offer()
    lineage.train()
    before = lineage.weights
    lineage.tell(lineage.state.live)
    assert lineage.weights == before


@both
def test_after_harm_the_learner_is_bit_for_bit_where_the_serving_release_was_offered(
    config: OnlineLearningConfig,
) -> None:
    # Given a release, and a candidate after it
    lineage = Lineage(config)
    release = lineage.release()
    at_release = lineage.log[snapshot_key(release.digest)]
    lineage.more()
    lineage.train()
    lineage.offer()
    lineage.train(3)
    assert lineage.weights != at_release
    # When the candidate does harm
    lineage.tell(release, failures=1)
    # Then the learner is where it was, and pays nothing twice
    assert lineage.weights == at_release
    assert lineage.handler.train() == 0


@both
def test_when_a_release_is_rolled_back_its_parent_comes_back(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    first = lineage.release()
    lineage.release()
    lineage.tell(first, failures=1)
    assert lineage.weights == lineage.log[snapshot_key(first.digest)]


@both
def test_back_at_the_base_the_learner_begins_anew(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    fresh = lineage.weights
    base = lineage.state.live
    lineage.release()
    lineage.tell(base, failures=1)
    assert lineage.weights == fresh


@both
def test_a_restart_goes_on_from_the_last_offer_and_pays_what_came_since(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    lineage.train()
    lineage.offer()
    offered = lineage.weights
    lineage.train()
    lineage.start()
    assert lineage.weights == offered
    assert lineage.handler.train() == 9


@both
def test_a_verdict_that_fell_while_it_was_away_is_taken_in_after_a_restart(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    release = lineage.release()
    lineage.more()
    lineage.train()
    candidate = lineage.offer()
    lineage.state = replace(lineage.state, decided_step=candidate.step, failures=1)
    lineage.start()
    assert lineage.weights == lineage.log[snapshot_key(release.digest)]
    assert lineage.progress.settled


@both
def test_what_was_taken_back_stays_taken_back_after_a_restart(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    first = lineage.release()
    lineage.release()
    lineage.train(3)
    lineage.tell(first, failures=1)
    taken_back = lineage.weights
    lineage.start()
    assert lineage.weights == taken_back
    assert lineage.handler.train() == 0


def test_steps_never_repeat_even_when_the_log_of_the_learner_is_older_than_the_releases() -> None:
    lineage = Lineage()
    lineage.train()
    lineage.offer()
    lineage.state = replace(lineage.state, decided_step=7)
    lineage.start()
    lineage.train()
    assert lineage.offer().step == 8


@both
def test_where_the_base_was_brought_in_again_learning_goes_on_from_it(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    lineage.release()
    lineage.release()
    lineage.tell(lineage.state.base, decided_step=0)
    lineage.more()
    lineage.train()
    candidate = lineage.offer()
    assert (candidate.step, candidate.parent) == (1, lineage.state.base.digest)


@both
def test_without_a_snapshot_learning_begins_at_the_heads_that_serve(config: OnlineLearningConfig) -> None:
    lineage = Lineage(config)
    release = lineage.release()
    lineage.log.clear()
    lineage.start()
    lineage.more()
    lineage.train()
    candidate = lineage.offer()
    assert candidate.step == 2
    assert candidate.parent == release.digest


@pytest.mark.parametrize("kept", [1, 3])
def test_snapshots_of_the_last_releases_are_kept_and_no_others(kept: int) -> None:
    lineage = Lineage(SMALL.model_copy(update={"max_checkpoints": kept}))
    releases = [lineage.release() for _ in range(5)]
    lineage.more()
    lineage.train()
    rejected = lineage.offer()
    lineage.tell(releases[-1])
    lineage.more()
    lineage.train()
    outstanding = lineage.offer()
    held = {key for key in lineage.log if key != SERVICE}
    assert held == {snapshot_key(digest) for digest in (*(r.digest for r in releases[-kept:]), outstanding.digest)}
    assert snapshot_key(rejected.digest) not in held


def test_the_trust_region_follows_what_serves() -> None:
    lineage = Lineage()
    trainer = lineage.handler._learner
    assert isinstance(trainer, HeadTrainer)
    before = trainer._region.live
    lineage.release()
    assert (trainer._region.live != before).any()


def test_when_all_prompts_are_one_it_says_so_once_and_offers_nothing() -> None:
    lineage = Lineage(SMALL.model_copy(update={"evidence_errors": 1e-9}))
    for _ in range(20):
        lineage.more()
        lineage.train()
    lineage.tell(as_release(lineage.offer()))
    batch = logged(BASE, 400, seed=9, new=True)
    lineage.replay.add(replace(batch, features=np.ones_like(batch.features)), watermark_ms=3_000)
    with capture_logs() as logs:
        for _ in range(10):
            lineage.train()
            lineage.write(lineage.handler.offer())
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "embedder stuck" in logs[0]["event"]
    assert len(lineage.candidates) == 1
    lineage.replay.add(logged(BASE, 200, seed=10, new=True), watermark_ms=4_000)
    lineage.train(10)
    assert lineage.offer().step == 2


def test_the_learner_of_values_offers_once_votes_on_new_prompts_convince_it() -> None:
    # Given a lineage that asks for evidence, and a first fit
    lineage = Lineage(VALUES.model_copy(update={"evidence_errors": 3.0}))
    lineage.train()
    assert lineage.handler.offer() == []
    # When prompts come to which nothing was fitted yet
    for _ in range(10):
        lineage.more()
        lineage.train(2)
    # Then its candidate answers them otherwise than the base
    new = logged(BASE, 300, seed=9, new=True).features
    shipped = read_checkpoint(lineage.offer().heads)
    assert (shipped.greedy(new) != BASE.greedy(new)).mean() > 0.5


def test_a_lead_that_was_too_small_for_a_trial_is_enough_when_nothing_was_on_trial_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a learner that is never more than .6 standard errors ahead, and has waited for 16 examples more than it must
    lineage = Lineage(VALUES.model_copy(update={"lead_errors": 1.0}), examples=2 * VALUES.min_replay)
    monkeypatch.setattr(ValueTrainer, "lead", 0.6)
    lineage.train()
    assert lineage.handler.offer() == []
    # When it has waited for 24
    lineage.more(8)
    lineage.train()
    # Then it offers; and after the answer, or a restart, it has to wait as long
    lineage.offer()
    lineage.tell(lineage.state.base)
    lineage.more(8)
    lineage.train()
    assert lineage.handler.offer() == []
    lineage.start()
    lineage.more(8)
    lineage.train()
    assert lineage.handler.offer() == []
    lineage.more(16)
    lineage.train()
    assert len(lineage.handler.offer()) == 3


def test_a_large_candidate_brings_the_chunks_that_neither_base_nor_live_has(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given checkpoints that are in chunks, and a base whose chunks are on the log.
    monkeypatch.setattr(chunks, "INLINE_BYTES", 10)
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 16)
    lineage = Lineage()
    tensors: dict[Digest, bytes] = {}
    lineage.opener = lambda heads, digest: read_checkpoint(join(heads, tensors.get), digest)
    heads, found = split(lineage.state.base.heads)
    tensors |= found
    base = replace(lineage.state.base, heads=heads)
    lineage.state = replace(lineage.state, base=base, live=base)
    lineage.start()
    lineage.train()
    # When it offers one, then the chunks come before it, and none of those of its base.
    *written, candidate, _, _ = lineage.handler.offer()
    assert isinstance(candidate, Candidate)
    new = {one.digest: one.data for one in written if isinstance(one, Chunk)}
    assert len(new) == len(written) > 0
    assert new.keys() == set(chunks_of(candidate.heads)) - set(chunks_of(heads))
    assert set(chunks_of(candidate.heads)) & set(chunks_of(heads))
    assert digest_of(join(candidate.heads, {**tensors, **new}.get)) == candidate.digest
    # When it was rejected, and what only it had is deleted, then the next one brings again what it needs.
    lineage.candidates.append(candidate)
    lineage.tell(base)
    lineage.more()
    lineage.train()
    *again, second, _, _ = lineage.handler.offer()
    assert isinstance(second, Candidate)
    tensors |= {one.digest: one.data for one in again if isinstance(one, Chunk)}
    assert lineage.opener(second.heads, second.digest).manifest.step == second.step
