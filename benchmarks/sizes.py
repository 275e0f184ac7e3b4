"""How large may the vectors be? Synthetic prompts of any width, played through the whole of `ol0 demo`.

The prompts lie in a space of 48 dimensions, as those of an embedder mostly do, and are of 24 kinds, each with an expert
of its own that answers best: the base knows one half of the kinds, the other half is there to be learnt.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from redis import Redis

from benchmarks.decide import Nowhere
from benchmarks.measure import median, say, seconds
from ol0.config import ServingConfig, load_settings
from ol0.controller.checkpoint import read_checkpoint
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.sdk.view import view_of_file

LATENT, KINDS, NOISE = 48, 24, 0.5
BEST, OTHER = 0.8, 0.35
LOOK_S = 0.5
MIB = 1024**2


def write_prompts(path: Path, features: int, experts: int, count: int, seed: int = 0) -> None:
    """Writes a data file: X of length 1 as float16, P, old, group. Same arguments, same prompts."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(KINDS, size=count)
    latent = rng.normal(size=(KINDS, LATENT))[kinds] + rng.normal(scale=NOISE, size=(count, LATENT))
    vectors = latent @ rng.normal(size=(LATENT, features))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    # The old kinds and the new ones use every expert, but not in the same order.
    best = np.concatenate([rng.permutation(KINDS // 2), rng.permutation(KINDS // 2)])[kinds] % experts
    success = np.full((count, experts), OTHER, np.float32)
    success[np.arange(count), best] = BEST
    groups = np.array([f"kind {kind:02d}" for kind in range(KINDS)])[kinds]
    np.savez(path, X=vectors.astype(np.float16), P=success, old=kinds < KINDS // 2, group=groups)


def play(data: Path, out: Path, arguments: Sequence[str]) -> dict[str, float]:
    """`ol0 demo` on this file; returns the largest resident memory of each process, MiB, and that of the store."""
    command = [sys.executable, "-m", "ol0", "demo", "--data", str(data), "--out", str(out), *arguments]
    peaks: dict[str, float] = {}
    with subprocess.Popen(command) as demo:
        while demo.poll() is None:
            for name, peak in _peaks(out):
                peaks[name] = max(peak, peaks.get(name, 0.0))
            if (out / "ol0.json").exists():
                peaks["used by the store"] = max(_used(out / "ol0.json"), peaks.get("used by the store", 0.0))
            time.sleep(LOOK_S)
    say(f"exit status {demo.returncode}")
    return peaks


def _peaks(out: Path) -> Iterator[tuple[str, float]]:
    """The processes of the run, by name, and the most that each has held so far, MiB."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            status = (folder / "status").read_text(encoding="utf-8")
        except OSError:
            continue
        if any(str(out) in word for word in words) and "VmHWM:" in status:
            yield _name(words), int(status.partition("VmHWM:")[2].split()[0]) / 1024


def _name(words: Sequence[str]) -> str:
    if "ol0" in words:
        return words[words.index("ol0") + 1]
    return "kafka" if "kafka.Kafka" in words else Path(words[0]).name


def _used(config: Path) -> float:
    try:
        with Redis.from_url(load_settings(config).redis.url.get_secret_value()) as client:
            memory = client.info("memory")
    except Exception:  # noqa: BLE001 - not up yet, or gone by now
        return 0.0
    assert isinstance(memory, dict)
    return float(memory["used_memory"]) / MIB


def decide_us(base: Path) -> float:
    """One decision of the SDK with its record for the log, in microseconds: median of 21 times 500."""
    data = base.read_bytes()
    prompt = Router(view_of_file(data), ServingConfig(), Options(), Nowhere()).prompt("s")
    vector = np.random.default_rng(0).normal(size=read_checkpoint(data).dimension).astype(np.float32)
    return 1e6 * median([seconds(lambda: prompt.decide(vector), 500) for _ in range(21)])


def main() -> None:
    """Reads the arguments; prints what was found as JSON. What follows ``--`` goes to `ol0 demo`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--features", type=int, default=1_536)
    parser.add_argument("--experts", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=8_000)
    parser.add_argument("--write", type=Path, help="only write the data file, here")
    parser.add_argument("demo", nargs="*")
    given = parser.parse_args()
    if given.write:
        write_prompts(given.write, given.features, given.experts, given.prompts)
        return
    out = (Path("runs") / f"sizes-{given.features}-{given.experts}").resolve()
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "prompts.npz"
        write_prompts(data, given.features, given.experts, given.prompts)
        peaks = play(data, out, given.demo)
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    found = {
        "features": given.features,
        "experts": given.experts,
        "verdict": report["verdict"],
        "reconciliation": report["reconciliation"],
        "releases": len(report["releases"]),
        "decide_us": round(decide_us(out / "base.safetensors"), 1),
        "checkpoint_bytes": (out / "base.safetensors").stat().st_size,
        "peak_mib": {name: round(peak) for name, peak in sorted(peaks.items())},
    }
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
