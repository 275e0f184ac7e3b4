"""WarmupManager: makes an AR1 checkpoint the base of a lineage."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Final, Protocol

import numpy as np

from ol0.ar1.architecture import PARTS
from ol0.ar1.baseline import BaselineMetrics, Parted, anchors_of, fisher_of, metrics_of, suite_share
from ol0.ar1.calibration import Calibration, read_calibration
from ol0.ar1.checkpoint import AR1Checkpoint, read_ar1
from ol0.ar1.encoder import AR1Encoder
from ol0.ar1.encoder_file import write_encoder
from ol0.ar1.policy import SERVED, AR1Heads
from ol0.config import OnlineLearningConfig, ServingConfig, WarmupConfig
from ol0.controller.checkpoint import digest_of, read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.controller.suite import KINDS, known_good, write_suite
from ol0.controller.warmup import Anchor, Warmup, base_checkpoint, check_suite_share
from ol0.errors import OL0Error

SEED: Final = 0  # of the split and of the anchors' names: a repeated warm-up gives the same


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a calibration file tells about the base.

    Attributes:
        suite: held-out rows whose good action is known.
        anchors: logged decisions for the replay store.
        fisher: diagonal of the Fisher information of the heads, shape (hidden_dim + 1, K of all parts).
        metrics: figures.
        choices: K of every part.
    """

    suite: Calibration
    anchors: tuple[Anchor, ...]
    fisher: Floats
    metrics: BaselineMetrics
    choices: tuple[int, ...]

    def write_suite(self, path: Path) -> None:
        """Writes the suite file that ``safety.suite`` names. Only the value of the served actions is known."""
        kinds = np.full(len(self.suite), KINDS.index("performance"), np.uint8)
        write_suite(path, self.suite.features, known_good(self.suite.actions, self.choices), kinds)


@dataclass(frozen=True, slots=True)
class Imported:
    """An AR1 checkpoint, converted. Nothing was written.

    Attributes:
        checkpoint: what was read.
        encoder: turns states into features.
        encoder_file: bytes of ``encoder.safetensors``.
        base: the controller with the four heads that learn.
        base_file: bytes of ``base.safetensors``.
        baseline: from the calibration file; None without one.
    """

    checkpoint: AR1Checkpoint
    encoder: AR1Encoder
    encoder_file: bytes
    base: Controller
    base_file: bytes
    baseline: Baseline | None

    def warmup(self, suite_pass_share: float) -> Warmup:
        """What the lineage starts from."""
        return Warmup(self.base_file, () if self.baseline is None else self.baseline.anchors, suite_pass_share)


class Model(Protocol):
    """A learner's model, into which ``warmup_from_ar1`` puts the base."""

    def adopt(self, base: Controller, anchors: Sequence[Anchor]) -> None:
        """Restarts from this base and its anchors."""


@dataclass(frozen=True, slots=True)
class WarmupResult:
    """The result of a warm-up, in the form that ``run_stream`` of the legacy code expects.

    Attributes:
        success: the model has the base; otherwise nothing was changed.
        fisher_computed: the Fisher information was computed on a calibration file.
        canary_baseline_established: there is a canary suite.
        safety_validated: the base passes its share of the suite.
        duration_seconds: wall time.
        baseline_metrics: figures of the base; None without a calibration file.
        error_message: the reason of a failure; None after a success.
        imported: the converted checkpoint; None after a failure.
    """

    success: bool
    fisher_computed: bool
    canary_baseline_established: bool
    safety_validated: bool
    duration_seconds: float
    baseline_metrics: BaselineMetrics | None
    error_message: str | None
    imported: Imported | None


class WarmupManager:
    """Imports AR1 checkpoints.

    Args:
        config: ``calibration`` names the calibration file, from which anchors and suite are made.
        learning: gives the number of anchors.
        serving: gives the base's exploration.
    """

    def __init__(
        self,
        config: WarmupConfig | None = None,
        learning: OnlineLearningConfig | None = None,
        serving: ServingConfig | None = None,
    ) -> None:
        self._config = config or WarmupConfig()
        self._anchors = (learning or OnlineLearningConfig()).anchors
        self._epsilon = (serving or ServingConfig()).epsilon

    def import_ar1(self, path: Path) -> Imported:
        """Reads and checks a checkpoint and, if configured, the calibration file. Writes nothing.

        Raises:
            CheckpointError: the checkpoint is wrong: see ``read_ar1``.
            ConfigError: the calibration file is wrong.
        """
        checkpoint = read_ar1(path)
        encoder_file = write_encoder(checkpoint)
        fingerprint = digest_of(encoder_file)
        encoder = AR1Encoder(checkpoint.architecture, checkpoint.tensors, fingerprint)
        heads = AR1Heads.of(checkpoint.tensors).parts
        base_file = base_checkpoint(PARTS, heads, self._epsilon, fingerprint, SERVED)
        base = read_checkpoint(base_file)
        calibration = self._config.calibration
        baseline = None
        if calibration is not None:
            baseline = self._baseline(base, read_calibration(calibration, encoder, checkpoint.architecture))
        return Imported(checkpoint, encoder, encoder_file, base, base_file, baseline)

    async def warmup_from_ar1(self, checkpoint: Path | str, model: Model) -> WarmupResult:
        """Imports a checkpoint into a model; reads and checks in a thread beside the event loop.

        A refusal is a result with ``error_message``, and the model stays unchanged: of a wrong checkpoint, of a
        calibration file that does not fit, or of a base that fails its own suite.
        """
        started = monotonic()
        imported = error_message = None
        try:
            found = await asyncio.to_thread(self.import_ar1, Path(checkpoint))
            if found.baseline is not None:
                check_suite_share(found.baseline.metrics.canary_pass_rate, self._config.canary_threshold)
        except OL0Error as error:
            error_message = str(error)
        else:
            imported = found
            model.adopt(found.base, () if found.baseline is None else found.baseline.anchors)
        baseline = None if imported is None else imported.baseline
        return WarmupResult(
            success=imported is not None,
            fisher_computed=baseline is not None,
            canary_baseline_established=baseline is not None,
            safety_validated=baseline is not None,
            duration_seconds=monotonic() - started,
            baseline_metrics=None if baseline is None else baseline.metrics,
            error_message=error_message,
            imported=imported,
        )

    def _baseline(self, base: Controller, calibration: Calibration) -> Baseline:
        parted = Parted.of(calibration, self._config.suite_share, SEED)
        return Baseline(
            suite=parted.suite,
            anchors=anchors_of(base, parted.kept, self._anchors, SEED),
            fisher=fisher_of(base, parted.kept.features[: self._config.fisher_samples]),
            metrics=metrics_of(base, calibration, suite_share(base, parted.suite)),
            choices=base.choices,
        )
