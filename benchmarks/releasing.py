"""From the release's transaction to the moment when the last of five SDKs serves it, p95, against 500 ms."""

import argparse
import time
from contextlib import ExitStack

from benchmarks.measure import Row, median, percentile, show
from benchmarks.stage import Stage, a_base, stage
from ol0.controller.checkpoint import digest_of
from ol0.kafka.transactional_writer import TransactionalWriter
from ol0.records import Gate, Judgement, Mode, Reason, Release, ServingState, Verdict
from ol0.sdk.router import Router

LIMIT_MS = 500.0
ROUTERS = 5
PATIENCE_S = 10.0


def _release() -> Release:
    heads = a_base()
    digest = digest_of(heads)
    reasons = (Reason("suite", 0.0, None, None, "passes"),)
    approvals = tuple(Verdict(digest, digest, digest, 0, None, gate, Judgement.APPROVE, reasons, 1, 1) for gate in Gate)
    return Release(digest, 0, heads, approvals)


def _state(release: Release, sequence: int) -> ServingState:
    return ServingState(
        sequence=sequence,
        time_ms=sequence,
        mode=Mode.APPLY,
        frozen=False,
        base=release,
        live=release,
        staged=None,
        decided_step=0,
        cooldown_until_ms=0,
        failures=0,
    )


def delays_ms(place: Stage, count: int) -> list[float]:
    """Of every release, until the last router serves it."""
    release = _release()
    writer = TransactionalWriter("release", place.lineage)
    writer.init()
    writer.write([_state(release, 1)])
    found = []
    with ExitStack() as stack:
        routers = [stack.enter_context(Router.open(place.settings)) for _ in range(ROUTERS)]
        for sequence in range(2, count + 2):
            began = time.perf_counter()
            writer.write([_state(release, sequence)])
            while not all((router.serving or (0,))[0] >= sequence for router in routers):
                if time.perf_counter() - began > PATIENCE_S:
                    raise TimeoutError(f"state {sequence} does not serve: {[router.serving for router in routers]}")
                time.sleep(0.001)
            found.append(1e3 * (time.perf_counter() - began))
    return found


def rows(count: int) -> list[Row]:
    """One row."""
    with stage() as place:
        delays = delays_ms(place, count)
    worst, note = percentile(delays, 0.95), f"median {median(delays):.0f} ms, {ROUTERS} routers"
    runs = {"ours": delays}
    return [
        Row(
            "approved until every SDK serves it, p95",
            1.0,
            False,
            worst / LIMIT_MS,
            worst,
            LIMIT_MS,
            "ms",
            count,
            note,
            runs,
        )
    ]


def main() -> None:
    """Reads the arguments, prints the rows as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--releases", type=int, default=60)
    show(rows(parser.parse_args().releases))


if __name__ == "__main__":
    main()
