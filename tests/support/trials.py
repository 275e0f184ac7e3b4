"""Candidates that are offered by hand, and what the gates and the release service of their lineage make of them."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ol0.clock import wall_clock_ms
from ol0.config import Signer
from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.controller.signing import Keyring
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import Candidate, Digest, Gate, Phase, ServingState, Transition, Verdict
from testbed.lineages import KINDS, Journal, Place
from testbed.processes import ol0

JUDGED_WITHIN_S = 60.0


def new_security(folder: Path) -> Mapping[str, Mapping[str, object]]:
    """The settings that ``ol0 keys new`` prints, with the keys that it made in this folder."""
    made = ol0("keys", "new", "--out", folder)
    assert made.returncode == 0, made.stderr
    _, _, settings = made.stdout.partition("\n\n")
    section: Mapping[str, Mapping[str, object]] = tomllib.loads(settings)["security"]
    return section


@dataclass
class Trials:
    """A lineage without a learner, everything that is said of its candidates, and a way to offer some.

    Attributes:
        keys: the learner's, where the lineage has any.
    """

    place: Place
    journal: Journal
    sender: RecordSender
    keys: Keyring

    @classmethod
    def of(cls, place: Place, journal: Journal) -> Self:
        keys = Keyring.of(place.settings.security, place.prefix, Signer.LEARNER)
        return cls(place, journal, RecordSender(place.lineage()), keys)

    def state(self) -> ServingState:
        """The newest that was read."""
        return self.journal.all(ServingState)[-1]

    def candidate(self, learnt: Head, mixer: Mixer) -> Candidate:
        """The next candidate of this lineage, in order but for what is in its heads."""
        state, base = self.state(), self.place.base
        step = state.decided_step + 1
        manifest = Manifest(base.digest, state.live.digest, step, base.manifest.parts, base.manifest.epsilon)
        heads = write_checkpoint(manifest, base.base, (learnt,), mixer)
        time_ms = max(wall_clock_ms(), state.cooldown_until_ms)
        return self.keys.sign(Candidate(digest_of(heads), state.live.digest, base.digest, step, time_ms, heads, {}))

    def good_candidate(self) -> Candidate:
        """One that answers as the base does, so that both gates approve it."""
        (base,) = self.place.base.base
        return self.candidate(base, mixer_for([], 0.0))

    def offer(self, *candidates: Candidate) -> None:
        self.sender.send_all(candidates)

    def verdict(self, gate: Gate, digest: Digest) -> Verdict:
        """What a gate says of it offline."""
        return self.journal.first(Verdict, lambda it: (it.gate, it.digest, it.stage) == (gate, digest, 0))

    def transition(self, digest: Digest, phase: Phase) -> Transition:
        return self.journal.first(
            Transition, lambda it: (it.digest, it.to_phase) == (digest, phase), within_s=JUDGED_WITHIN_S
        )

    def settled(self, step: int) -> ServingState:
        """The serving state by which this step has met its fate."""
        return self.journal.first(ServingState, lambda it: it.decided_step >= step)

    def spoken_of(self, digest: Digest) -> list[Verdict | Transition]:
        """All that gates and release said of it so far."""
        verdicts = self.journal.all(Verdict, lambda it: it.digest == digest)
        return [*verdicts, *self.journal.all(Transition, lambda it: it.digest == digest)]

    def check_never_served(self, digest: Digest) -> None:
        """Neither to everybody nor to some."""
        for state in self.journal.all(ServingState):
            assert digest != state.live.digest
            assert state.staged is None or digest != state.staged.release.digest


def mixer_for(kinds: Sequence[int], openness: float) -> Mixer:
    """Lets the learnt head speak about prompts of these kinds, and be silent about all others."""
    weight = np.full(KINDS, -10.0, np.float32)
    weight[list(kinds)] = openness
    return Mixer(weight, 0.0)


def sending(head: Head, kinds: Sequence[int], expert: int) -> Head:
    """The same head, but for these kinds of prompts, which it sends to this expert."""
    weight = head.weight.copy()
    weight[:, list(kinds)] = 0.0
    weight[expert, list(kinds)] = 8.0
    return Head(weight, head.bias)
