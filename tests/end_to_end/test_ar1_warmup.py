"""An AR1 checkpoint becomes the base of a lineage, from the command line to a logged decision."""

from pathlib import Path
from random import Random

import numpy as np

from ol0.ar1.encoder_file import read_encoder
from ol0.config import load_settings
from ol0.controller.checkpoint import read_checkpoint
from ol0.records import Decision, ServingState
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.stacks.native import NativeStack
from testbed.lineages import Journal, Place, services, small_split, write_settings
from testbed.processes import ol0
from unit.ar1.torch_files import DATA, policy_tensors, save
from unit.ar1.worlds import SMALL, made_up_states, write_calibration

WRONG_SETTING, REFUSED = 2, 1


def test_a_dry_run_says_what_is_in_a_checkpoint_and_needs_nothing_else(tmp_path: Path) -> None:
    shown = ol0("warmup", DATA / "agentic_final_model.pt", "--dry-run", "--out", tmp_path / "out")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "train_agentic_router: router_state_dict with macro_policy., policy_state_dict" in shown.stdout
    assert "router_state_dict is used; policy_state_dict differs in expert_head.bias" in shown.stdout
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_is_refused_is_named_with_its_tensors_and_nothing_is_written(tmp_path: Path) -> None:
    tensors = policy_tensors()
    tensors["rank_head.bias"][1] = np.nan
    path = save(tmp_path / "broken.pt", tensors)
    refused = ol0("warmup", path, "--out", tmp_path / "out")
    assert refused.returncode == REFUSED
    assert refused.stderr == f"ol0: {path}: the file itself: rank_head.bias holds a number that is not finite\n"
    assert not (tmp_path / "out").exists()


def test_without_calibration_and_suite_nothing_is_offered_and_the_remedy_is_told(tmp_path: Path) -> None:
    refused = ol0("warmup", SMALL, "--out", tmp_path / "out")
    assert refused.returncode == WRONG_SETTING
    assert "--calibration FILE makes one" in refused.stderr
    assert not (tmp_path / "out").exists()


def test_an_ar1_checkpoint_is_brought_in_with_the_seeds_own_line_and_serves(stack: NativeStack, tmp_path: Path) -> None:
    # Given a lineage that has settings and nothing else.
    config = write_settings(stack, tmp_path, {"warmup": {"canary_threshold": 0.85}})
    settings = load_settings(config)
    calibration = write_calibration(tmp_path / "logged.npz", 1_000)
    # When the legacy line warms it up, twice, and its services start.
    line = ("--config", config, "--warmup-from", SMALL, "--calibration", calibration, "--report-only")
    for _ in range(2):
        warmed = ol0(*line)
        assert warmed.returncode == 0, warmed.stderr
        assert "offered base" in warmed.stdout
    base = read_checkpoint((tmp_path / "base.safetensors").read_bytes())
    place = Place(config, settings, base, (tmp_path / "base.safetensors").read_bytes(), small_split())
    with services(place, ("canary", "drift", "release")), Journal(settings, "releases", "decisions") as journal:
        # Then the base serves, with four parts, on the features of the encoder beside it.
        state = journal.first(ServingState)
        live = read_checkpoint(state.live.heads, base.digest)
        encoder = read_encoder(tmp_path / "encoder.safetensors", live.manifest.encoder)
        features = encoder.encode(made_up_states(20, seed=8))
        with Router.open(settings, Options(rng=Random(0))) as router:
            for number, row in enumerate(features):
                with router.prompt(f"session-{number}") as prompt:
                    prompt.decide(row)
        decisions = journal.at_least(len(features), Decision)
    assert {decision.digest for decision in decisions} == {base.digest}
    assert {len(decision.action) for decision in decisions} == {4}
    assert {len(decision.propensity) for decision in decisions} == {4}
