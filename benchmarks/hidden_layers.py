"""Do hidden layers that learn bring anything, and what do they cost?

    python -m benchmarks.hidden_layers [--seeds 0-4] [--only twisted|debian|speed|device] [--device cuda]

*twisted*: 8,000 made-up prompts of 32 features and six experts. Which one is right depends on the signs of products of
two projections, so that no head that is linear in the features can tell. Half of the prompts are of kinds that the
base, a network with 64 hidden numbers, was trained on. *debian*: the data of the package, 128 hidden numbers.
The traffic is that of ``make evaluate-streams``: in process, without gates; 20,000 decisions, 85 % of new kinds.
*speed*: one core; the Fisher information beside a loop of backward passes, the steps of training, and a whole refit.
*device*: a round of training, 4,096-256-64, on a GPU beside one core: how far apart their weights are, and how much
faster it is. It is left out where torch finds no GPU, and says so.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import mean, stdev
from typing import Final

import numpy as np
import torch
from torch import Tensor

from benchmarks.evaluation import worlds
from benchmarks.evaluation.contenders import Frozen, Ours
from benchmarks.evaluation.traffic import USUAL, play, points
from benchmarks.evaluation.worlds import EPSILON, Pool, World
from ol0.config import OnlineLearningConfig
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.controller import Controller
from ol0.controller.heads import Doubles, Head
from ol0.controller.warmup import base_checkpoint
from ol0.learning.batch import Batch
from ol0.learning.tuning.fisher import hidden_fisher
from ol0.learning.tuning.network import Weights, hidden, weights_of
from ol0.learning.tuning.torch_tuner import TorchTuner
from ol0.learning.values.scales import Scales
from ol0.operator.setup.base_from_labels import PART
from ol0.operator.setup.prompts import Prompts, read_prompts
from ol0.operator.setup.torch_training import train_mlp
from testbed.trunks import a_base_on, a_trunk

ROWS: Final = 1_000
LOOPED: Final = 100
"""Rows of the loop, whose time is scaled to ``ROWS``."""
CPU: Final = torch.device("cpu")


def twisted(seed: int) -> tuple[Pool, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Prompts, and which of them are of old kinds."""
    rng, count, width = np.random.default_rng(2_000 + seed), 4_000, 32
    kinds = np.concatenate([rng.integers(0, 4, count), 4 + rng.integers(0, 4, count)])
    features = 0.6 * rng.normal(size=(8, width))[kinds] + rng.normal(size=(2 * count, width))
    seen = features @ rng.normal(size=(6, width)).T
    alike = seen[:, [0, 2]] * seen[:, [1, 3]] > 0
    old = kinds < 4
    right = np.where(old, 2 * alike[:, 0] + (seen[:, 4] > 0), 2 + 2 * alike[:, 1] + (seen[:, 5] > 0))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    success = np.where(np.arange(6) == right[:, None], 0.85, 0.25)
    names = np.char.add("kind ", kinds.astype(str))
    return Pool(features.astype(np.float32), success.astype(np.float32), names), old


def trained(pool: Pool, widths: tuple[int, ...], seed: int) -> Controller:
    """A network of the known prompts, whose layers may be tuned."""
    network = train_mlp(Prompts(pool.features, pool.success, pool.kinds), widths, seed)
    head, trunk = network.above(pool.features, True)
    return read_checkpoint(base_checkpoint((PART,), (head,), EPSILON, trunk=trunk))


def learning(name: str, seeds: range) -> None:
    """Frozen layers (numpy) beside layers that learn (torch), on the same traffic."""
    found: dict[str, list[tuple[float, ...]]] = {"numpy": [], "torch": []}
    for seed in seeds:
        world = _world(name, seed)
        frozen = Frozen(world, seed)
        before = points(frozen, world.new_test), points(frozen, world.old_test)
        for engine, rows in found.items():
            config = OnlineLearningConfig.model_validate({"engine": engine})
            outcome = play(world, partial(Ours, config=config), USUAL, seed)
            gains = [each - before[0] for each in outcome.curve]
            rows.append((*gains, outcome.old - before[1], outcome.online or 0.0, outcome.cpu_s or 0.0))
            sys.stdout.write(f"{name} {seed} {engine}: base {before[0]:.1f}, {_words([rows[-1]])}\n")
            sys.stdout.flush()
    for engine, rows in found.items():
        sys.stdout.write(f"{name}, {engine}, mean of {len(rows)}: {_words(rows)}\n")


def _world(name: str, seed: int) -> World:
    if name == "twisted":
        pool, old = twisted(seed)
        return worlds.split(pool, old, seed, lambda known, seed: trained(known, (64,), seed))
    prompts, old = read_prompts(None)
    pool = Pool(prompts.features, prompts.success, prompts.groups)
    return worlds.split(pool, old, seed, lambda known, seed: trained(known, (128,), seed))


def _words(rows: list[tuple[float, ...]]) -> str:
    columns = list(zip(*rows, strict=True))
    spread = f" ± {stdev(columns[2]):.1f}" if len(rows) > 1 else ""
    return (
        f"new after 1,000 {mean(columns[0]):+.1f}, 4,000 {mean(columns[1]):+.1f}, 20,000 {mean(columns[2]):+.1f}"
        f"{spread}; old {mean(columns[3]):+.2f}; online {mean(columns[4]):.1f}; CPU {mean(columns[5]):.2f} s / 1,000"
    )


def speed() -> None:
    """One core."""
    torch.set_num_threads(1)
    base = a_base_on(a_trunk((128,), "relu", features=384, spread=0.05).to_be_tuned(), (10,))
    trunk = base.trunk
    assert trunk is not None
    rng = np.random.default_rng(0)
    features = rng.normal(0, 0.05, (ROWS, 384)).astype(np.float32)
    weights, form, rows = weights_of(trunk.tensors, CPU), trunk.form, torch.from_numpy(features)
    ours = _seconds(lambda: hidden_fisher(weights, tuple(weights), form, base.base, rows))
    theirs = _seconds(lambda: looped_fisher(weights, base, rows[:LOOPED])) * ROWS / LOOPED
    sys.stdout.write(
        f"Fisher of {ROWS} rows, 384-128-10: {ours:.2f} s; a loop of backward {theirs:.1f} s: {theirs / ours:.0f} x\n"
    )
    config, live = OnlineLearningConfig(), made_up(base, 10_000, rng)
    tuner = TorchTuner(base, live.take(np.arange(2_000)), config)
    spent = _seconds(lambda: tuner.tune(trunk, *a_round(live, 10)))
    sys.stdout.write(
        f"{config.tuning_steps} steps of 256, 384-128-10: {spent:.2f} s, {config.tuning_steps / spent:.0f} a second\n"
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"memory of the process at most {memory:.0f} MiB\n")


def device(name: str) -> None:
    """A GPU beside one core; both from the same base and votes."""
    torch.set_num_threads(1)
    base = a_base_on(a_trunk((256,), "relu", features=4_096, spread=0.02).to_be_tuned(), (64,))
    trunk, rng = base.trunk, np.random.default_rng(0)
    assert trunk is not None
    live = made_up(base, 10_000, rng)
    taken, seconds = {}, {}
    for one in ("cpu", name):
        tuner = TorchTuner(base, live.take(np.arange(2_000)), OnlineLearningConfig.model_validate({"device": one}))
        tuner.tune(trunk, *a_round(live, 64))  # the first one pays for what is made once
        began = time.perf_counter()
        taken[one] = tuner.tune(trunk, *a_round(live, 64)).tuned
        seconds[one] = time.perf_counter() - began
    apart = max(float(np.abs(taken[name][key] - tensor).max()) for key, tensor in taken["cpu"].items())
    sys.stdout.write(
        f"a round of training, 4,096-256-64: {seconds['cpu']:.2f} s on one core, {seconds[name]:.2f} s on {name}: "
        f"{seconds['cpu'] / seconds[name]:.1f} x; weights at most {apart:.1e} apart\n"
    )


def made_up(base: Controller, count: int, rng: np.random.Generator) -> Batch:
    """Votes that say nothing, as the base's heads see them."""
    dimension, choices = base.dimension, base.choices[0]
    return Batch(
        base.inputs(rng.normal(0, 0.05, (count, dimension)).astype(np.float32)),
        rng.integers(0, choices, (count, 1)),
        np.full((count, 1), 1 / choices, np.float32),
        (rng.random(count) < 0.5).astype(np.float32),
        np.ones(count, np.float32),
        rng.integers(0, 200, count).astype(np.uint64),
    )


def a_round(live: Batch, choices: int) -> tuple[list[tuple[Head, Scales]], Batch, Doubles]:
    """What a tuner is given besides the trunk: heads that say nothing, and votes that count alike."""
    width = live.features.shape[1]
    head = Head(np.zeros((choices, width), np.float32), np.full(choices, 0.5, np.float32))
    scales = Scales(noise=0.2, shared=0.02, own=0.02, own_offset=0.02, slopes=width)
    return [(head, scales)], live, np.ones(len(live))


def looped_fisher(weights: Weights, base: Controller, rows: Tensor) -> Weights:
    """By its definition: one backward pass for each row and outcome."""
    assert base.trunk is not None
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    total = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    weight, bias = (torch.from_numpy(it) for it in (base.base[0].weight, base.base[0].bias))
    for row in rows:
        above = hidden(leaves, base.trunk.form, row[None])
        logs = (above @ weight[:, : above.shape[1]].T + bias).log_softmax(dim=1)[0]
        for outcome in range(len(bias)):
            slopes = torch.autograd.grad(logs[outcome], list(leaves.values()), retain_graph=True)
            for name, slope in zip(leaves, slopes, strict=True):
                total[name] += logs[outcome].detach().exp() * slope**2 / len(rows)
    return total


def _seconds(work: Callable[[], object]) -> float:
    """CPU seconds of the second call: the first one pays for what is made once."""
    work()
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-4", help="first and last")
    parser.add_argument("--only", choices=["twisted", "debian", "speed", "device"])
    parser.add_argument("--device", default="cuda", choices=["cpu", "cuda"], help="beside one core")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split("-"))
    for name in ("twisted", "debian"):
        if arguments.only in (None, name):
            learning(name, range(first, last + 1))
    if arguments.only in (None, "speed"):
        speed()
    if arguments.only in (None, "device"):
        if arguments.device == "cuda" and not torch.cuda.is_available():
            sys.stdout.write("device: torch finds no GPU here, so nothing was measured\n")
        else:
            device(arguments.device)


if __name__ == "__main__":
    main()
