"""Describes a checkpoint before a warm-up: the lines of ``ol0 warmup --dry-run``."""

from collections.abc import Iterator

from ol0.ar1.architecture import PARTS, RANKS
from ol0.ar1.layout import unknown_keys
from ol0.ar1.warmup import Baseline, Imported


def describe(imported: Imported, canary_threshold: float) -> list[str]:
    """Layout, architecture, tensors, heads and checks, a line each."""
    return [f"{what:<13} {text}" for what, text in _lines(imported, canary_threshold)]


def _lines(imported: Imported, canary_threshold: float) -> Iterator[tuple[str, str]]:
    checkpoint, base = imported.checkpoint, imported.base
    layout, shape = checkpoint.layout, checkpoint.architecture
    yield "layout", layout.name
    if layout.unused:
        named = (f"{key} ({tensors} tensors)" if tensors else key for key, tensors in layout.unused.items())
        yield "", f"not used: {', '.join(named)}"
    if strange := unknown_keys(layout):
        yield "", f"no trainer of AR1 writes {', '.join(strange)}"
    yield "architecture", f"hidden_dim {shape.hidden}, {shape.layers} layers, feed-forward {shape.feedforward}"
    yield "", f"{shape.experts} experts, max_span {shape.max_span}"
    yield (
        "inputs",
        f"chunk summary {shape.summary}, retrieval {shape.retrieval}, vision {shape.vision}, value {shape.value}",
    )
    kinds = ", ".join(f"{count} {kind}" for kind, count in checkpoint.dtypes.items())
    router = len(layout.weights[0].router)
    beside = f"; {router} of the router" if router else ""
    yield "tensors", f"{len(shape.shapes())} of the policy with {checkpoint.numbers:,} numbers{beside}: {kinds}"
    counters = ", ".join(f"{name} {count}" for name, count in checkpoint.counters.items())
    yield "counters", f"{counters} (no decision depends on them)"
    for part, head in zip(PARTS, base.base, strict=True):
        choices = f": {', '.join(map(str, RANKS))}" if part == "rank" else ""
        yield f"head {part}", f"{head.choices} choices{choices}"
    yield "head bias", "1.9 sigmoid + 0.1; stays as it is"
    yield "head value", "stays as it is"
    yield "encoder", f"{imported.encoder.fingerprint} ({len(imported.encoder_file):,} bytes, float32)"
    yield "base", f"{base.digest} ({len(imported.base_file):,} bytes)"
    yield "check", "every tensor is known, of the right shape and type, and finite"
    if not checkpoint.checksums:
        yield "check", "the file has no checksums: a changed byte would not be seen"
    if checkpoint.differing:
        others = ", ".join(weights.place for weights in layout.weights[1:])
        yield "check", f"{layout.weights[0].place} is used; {others} differs in {', '.join(checkpoint.differing)}"
    yield from _calibration_lines(imported.baseline, canary_threshold)


def _calibration_lines(baseline: Baseline | None, canary_threshold: float) -> Iterator[tuple[str, str]]:
    if baseline is None:
        yield "calibration", "none: no anchors, no baseline figures, no canary suite (--calibration FILE)"
        return
    metrics = baseline.metrics
    success = "unknown" if metrics.task_success_rate is None else f"{metrics.task_success_rate:.1%}"
    yield (
        "calibration",
        f"{metrics.samples} rows: {len(baseline.anchors)} anchors, {len(baseline.suite)} suite prompts",
    )
    yield "baseline", f"success {success}, coherence {metrics.coherence_score:.3f}"
    yield "", f"the base would have made {metrics.agreement_rate:.1%} of the logged decisions"
    yield "fisher", f"mean {baseline.fisher.mean():.3g}, largest {baseline.fisher.max():.3g}"
    verdict = "enough" if metrics.canary_pass_rate >= canary_threshold else "too little"
    threshold = f"warmup.canary_threshold = {canary_threshold:.0%}"
    yield "check", f"the base passes {metrics.canary_pass_rate:.1%} of the suite; {threshold}: {verdict}"
