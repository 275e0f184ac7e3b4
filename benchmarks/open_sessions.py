"""Drift and evaluator under a steady stream of sessions: how far they fall behind, and how large their state gets.

``python -m benchmarks.open_sessions --rate 5000 --seconds 600``: every outcome is a session of its own, so that as many
are open as begin within a gap of a minute: 300,000.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from confluent_kafka import TopicPartition

from benchmarks.measure import say
from benchmarks.stage import Stage, a_base, scratch
from benchmarks.traffic import DIMENSION, EXPERTS
from ol0.config import load_settings
from ol0.controller.checkpoint import digest_of, write_checkpoint
from ol0.controller.controller import Manifest
from ol0.controller.heads import Head, Mixer
from ol0.controller.suite import write_suite
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.batch_in_flight import BatchInFlight, BatchSender
from ol0.kafka.transactional_writer import TransactionalWriter, read_stored
from ol0.records import Arm, DecisionId, Digest, Mode, Outcome, Release, RewardParts, ServingState
from ol0.stacks.native import NativeStack

SERVICES: Final = ("drift", "evaluator")
HOLDBACK: Final = 0.1
VOTED: Final = 0.4
"""Share of the decisions that somebody said something about."""
PILES_S: Final = 0.1
LOOK_S: Final = 20.0


def _live(base: Digest) -> bytes:
    rng = np.random.default_rng(1)
    head = Head(rng.normal(size=(EXPERTS, DIMENSION)).astype(np.float32), np.zeros(EXPERTS, np.float32))
    return write_checkpoint(Manifest(base, base, 1, ("expert",), 0.1), (head,), (head,), Mixer.closed(DIMENSION))


def _state() -> ServingState:
    base = a_base()
    live = _live(digest_of(base))
    return ServingState(
        sequence=1,
        time_ms=1_790_000_000_000,
        mode=Mode.APPLY,
        frozen=False,
        base=Release(digest_of(base), 0, base, ()),
        live=Release(digest_of(live), 1, live, ()),
        staged=None,
        decided_step=1,
        cooldown_until_ms=0,
        failures=0,
    )


def _template(state: ServingState, arm: Arm, reward: float | None) -> Outcome:
    return Outcome(
        decision_id=DecisionId("00000000-0000-4000-8000-000000000000"),
        sequence=0,
        session_id="",
        user=None,
        time_ms=0,
        digest=state.base.digest if arm is Arm.HOLDBACK else state.live.digest,
        arm=arm,
        staged=None,
        serving_sequence=1,
        action=(0,),
        propensity=(0.9,),
        greedy_base=(1,),
        greedy_live=(0,),
        greedy_staged=None,
        reward=reward,
        parts=RewardParts(thumb=reward, rating=None, correction=None, tool=None, implicit=None),
        group=None,
        window_end_ms=600_000,
    )


def _outcomes(state: ServingState) -> Iterator[Outcome]:
    rng, number = random.Random(0), 0
    rewards = {Arm.HOLDBACK: 0.5, Arm.LIVE: 0.55}
    while True:
        arm = Arm.HOLDBACK if rng.random() < HOLDBACK else Arm.LIVE
        reward = float(rng.random() < rewards[arm]) if rng.random() < VOTED else None
        now_ms = time.time_ns() // 1_000_000
        yield replace(
            _template(state, arm, reward),
            sequence=number,
            session_id=f"{rng.getrandbits(128):032x}",
            time_ms=now_ms - 660_000,
            window_end_ms=now_ms - 60_000,
        )
        number += 1


def _feed(config: Path, rate: int, seconds: float) -> None:
    """Sends so many a second, in piles; where the machine is slower, what is late is sent at once."""
    lineage = Lineage.of(load_settings(config).kafka)
    sender, made, under_way = BatchSender("outcomes", lineage), _outcomes(_state()), list[BatchInFlight]()
    began, sent = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = min(int(passed * rate) - sent, rate)
        pile = [
            (it.session_id.encode(), lineage.codec.encode_valid(it)) for it, _ in zip(made, range(due), strict=False)
        ]
        sent += len(pile)
        under_way = [one for one in under_way if not one.done()]
        if pile:
            under_way.append(sender.send(pile))
        time.sleep(PILES_S)
    for one in under_way:
        one.wait()
    say(f"fed {sent:,} outcomes in {time.monotonic() - began:.0f} s")


def _lag(lineage: Lineage, service: str) -> int:
    consumer = lineage.clients.assigned_consumer(service)
    topic = lineage.topics.full("outcomes")
    numbers = range(lineage.topics.spec("outcomes").partitions)
    try:
        committed = consumer.committed([TopicPartition(topic, number) for number in numbers], 10)
    finally:
        consumer.close()
    ends = lineage.clients.bounds(topic, numbers, 10)
    return sum(ends[place.partition][1] - max(place.offset, 0) for place in committed)


def _size(lineage: Lineage, service: str) -> int:
    stored = read_stored(service, lineage)
    return 0 if stored is None else len(stored.body)


def _run(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    threads = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return subprocess.Popen([sys.executable, *arguments], env={**os.environ, **threads}, stdout=subprocess.DEVNULL)


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _settings(place: Stage, folder: Path) -> Path:
    rng = np.random.default_rng(2)
    suite = folder / "suite.safetensors"
    write_suite(
        suite,
        rng.normal(size=(40, DIMENSION)).astype(np.float32),
        [np.eye(EXPERTS, dtype=np.float32)[rng.integers(EXPERTS, size=40)]],
        np.zeros(40, np.uint8),
    )
    tree = json.loads(place.config.read_text())
    tree["safety"] = {"suite": str(suite)}
    tree["streaming"] = {"clock": "wall"}
    tree["observability"] = {"port": 0}
    config = folder / "services.json"
    config.write_text(json.dumps(tree), encoding="utf-8")
    return config


def _watch(place: Stage, config: Path, rate: int, seconds: float) -> bool:
    """Whether both services lived and had read everything a minute after the last record."""
    services = {name: _run(["-m", "ol0", name, "--config", str(config)]) for name in SERVICES}
    feeder = _run(
        ["-m", "benchmarks.open_sessions", "--feed", str(config), "--rate", str(rate), "--seconds", str(seconds)]
    )
    began, lags = time.monotonic(), dict.fromkeys(SERVICES, 1)
    while feeder.poll() is None or (any(lags.values()) and time.monotonic() - began < seconds + 60):
        time.sleep(LOOK_S)
        lags = {name: _lag(place.lineage, name) for name in SERVICES}
        sizes = {name: f"{_size(place.lineage, name) / 1e6:.1f} MB" for name in SERVICES}
        cpu = {name: f"{_cpu_s(process):.0f} s" for name, process in services.items()}
        say(f"{time.monotonic() - began:5.0f} s: lag {lags}, snapshot {sizes}, cpu {cpu}")
    alive = all(process.poll() is None for process in services.values())
    for process in services.values():
        process.terminate()
        process.wait(30)
    return alive and not any(lags.values())


def main() -> None:
    """Reads the arguments and runs; fails where a service died or stayed behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=5_000)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--feed", type=Path, help="be the feeder of a run that has begun")
    arguments = parser.parse_args()
    if arguments.feed is not None:
        _feed(arguments.feed, arguments.rate, arguments.seconds)
        return
    with scratch() as folder, NativeStack(folder / "stack") as stack:
        place = Stage(stack, folder)
        writer = TransactionalWriter("release", place.lineage)
        writer.init()
        writer.write([_state()])
        if not _watch(place, _settings(place, folder), arguments.rate, arguments.seconds):
            sys.exit("a service died or did not catch up")


if __name__ == "__main__":
    main()
