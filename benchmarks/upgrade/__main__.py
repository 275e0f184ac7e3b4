"""Can a lineage be upgraded while it runs, and be rolled back? Two builds on one broker and one store.

    make upgrade-drill BEFORE=COMMIT   (python -m benchmarks.upgrade COMMIT [--rate 150] [--at-once])

The older build makes the lineage and runs it, until a candidate is on trial. Then each service in turn is stopped and
started again as that of this build, learner last, while a host decides and reports all the time; with ``--at-once``,
all of them stop before the first starts. The candidate of the older build has to be decided, and then one of this
build. Then every service goes back to the older build, as far as it starts, and forward again. At the end the logs are
read back: every decision has exactly one outcome, or is in the account of drops.
"""

import argparse
import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread
from typing import Final

from benchmarks.measure import say
from benchmarks.upgrade.builds import ROOT, THIS, Build, Fleet
from ol0.config import Settings, load_settings
from ol0.errors import StackError
from ol0.kafka.lineage import Lineage
from ol0.kafka.topic_readers.log_reader import LogReader
from ol0.kafka.transactional_writer import STATE, read_snapshots
from ol0.observability.logs import configure_logs
from ol0.operator.setup.prompts import read_prompts, split_prompts
from ol0.records import Candidate, Outcome, Phase, ServingState, Transition
from ol0.replay.connection import connect
from ol0.replay.counters import Counters
from ol0.replay.store import ReplayStore
from ol0.sdk.options import Options
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from testbed.lineages import Journal
from testbed.waiting import wait_until

ORDER: Final = ("feedback", "evaluator", "canary", "drift", "release", "learner")
"""The learner last: what it writes, every other one has to read."""
RUN: Final = ROOT / "runs/upgrade"
WITHIN_S: Final = 180.0
MORE: Final = 500
"""Outcomes that have to come after a move, before the next phase begins."""
TRIAL: Final = {"stages": [{"share": 0.5, "min_decisions": 1_500}], "max_stage": 8_000}
"""Long enough, at 150 decisions a second, that the trial lasts through the upgrade."""
FOR_EVER: Final = 10**9


class Drill:
    """One lineage and its services.

    Attributes:
        figures: what was found, and for how many seconds each service was away.
    """

    def __init__(self, older: Build, config: Path, fleet: Fleet, journal: Journal) -> None:
        self._older, self._config, self._fleet, self._journal = older, config, fleet, journal
        self._settings = load_settings(config)
        self._store = ReplayStore(connect(self._settings.redis), self._settings.kafka.topic_prefix)
        self.figures: dict[str, object] = {"before": older.name}

    def counters(self) -> Counters:
        """What the store has."""
        return self._store.counters()

    def upgrade(self, *, at_once: bool) -> None:
        """To this build, until a candidate of either has been decided."""
        staged = self._journal.first(ServingState, lambda it: it.staged is not None, within_s=WITHIN_S)
        assert staged.staged is not None
        mine = staged.staged.release.digest
        say(f"{mine[:12]}, made by {self._older.name}, is on trial")
        self.figures["upgrade"] = self._all_at_once() if at_once else self._one_by_one()
        say(f"every service is of {THIS.name}: {self.figures['upgrade']}")
        self.figures["of the older build"] = self._end_of(mine)
        if any("tombstone" in why for why in self._fleet.died("learner", 0)):
            self.figures["deleted"] = self._delete_learnt()
        known = {one.digest for one in self._journal.all(Candidate)}
        new = self._journal.first(Candidate, lambda it: it.digest not in known, within_s=WITHIN_S)
        self.figures["of this build"] = self._end_of(new.digest)

    def _one_by_one(self) -> Mapping[str, float]:
        THIS.run("topics", "apply", "--config", self._config)
        return {name: round(self._fleet.move(name, THIS), 1) for name in ORDER}

    def _all_at_once(self) -> Mapping[str, float]:
        began_s = time.monotonic()
        for name in ORDER:
            self._fleet.stop(name)
        THIS.run("topics", "apply", "--config", self._config)
        for name in ORDER:
            self._fleet.start(name, THIS)
        for name in ORDER:
            self._fleet.wait_until_ready(name)
        return {"all": round(time.monotonic() - began_s, 1)}

    def _delete_learnt(self) -> list[str]:
        """What a learner asks for that cannot read its snapshots: deletes them, so that it begins at what serves."""
        lineage = Lineage.of(self._settings.kafka)
        keys, producer = list(read_snapshots("learner/", lineage)), lineage.clients.producer()
        for key in keys:
            producer.produce(lineage.topics.full(STATE), None, key.encode())
        assert producer.flush(WITHIN_S) == 0
        return keys

    def roll_back(self) -> None:
        """Every service to the older build, as far as it starts, and then forward again."""
        found, before = dict[str, float | str](), len(self._fleet.deaths)
        for name in reversed(ORDER):
            try:
                found[name] = round(self._fleet.move(name, self._older), 1)
            except StackError as error:
                found[name] = str(error)
                self._restore(name)
            say(f"back to {self._older.name}: {name}: {found[name]}")
        self._wait_for_more_outcomes()
        for name in ORDER:  # a service may be ready, and die of what it reads then
            if isinstance(found[name], float) and (died := self._fleet.died(name, before)):
                found[name] = died[0]
                self._fleet.stop(name)
                self._restore(name)
        self.figures["rollback"] = found
        self.figures["forward again"] = self._one_by_one()
        self._wait_for_more_outcomes()

    def _restore(self, name: str) -> None:
        self._fleet.start(name, THIS)
        self._fleet.wait_until_ready(name)

    def _end_of(self, digest: str) -> str:
        """Waits until a candidate was decided; how."""
        ends = (Phase.LIVE, Phase.REJECTED, Phase.QUARANTINED)
        end = self._journal.first(Transition, lambda it: it.digest == digest and it.to_phase in ends, within_s=WITHIN_S)
        say(f"{digest[:12]}: {end.to_phase.value}, {end.cause}")
        return end.to_phase.value

    def _wait_for_more_outcomes(self) -> None:
        before = self.counters().outcomes
        wait_until(lambda: self.counters().outcomes > before + MORE, WITHIN_S)


def audit(settings: Settings, made: int, dropped: int, counters: Counters) -> Mapping[str, object]:
    """Everything that came out, held against everything that went in; the services may still run."""
    reader = LogReader(settings, ("outcomes",))
    found, appended_ms = Counter[str](), list[int]()
    while not reader.caught_up:
        for _, record, append_ms in reader.poll():
            assert isinstance(record, Outcome)
            found[record.decision_id] += 1
            appended_ms.append(append_ms)
    reader.close()
    appended_ms.sort()
    pauses_ms = [later - earlier for earlier, later in pairwise(appended_ms)]
    return {
        "decisions": made,
        "lost by the host": dropped,
        "outcomes": len(found),
        "outcomes twice": sum(found.values()) - len(found),
        "dropped by the join": sum(counters.decisions_dropped.values()),
        "feedback": counters.feedback,
        "lost": made - dropped - len(found) - sum(counters.decisions_dropped.values()),
        "imbalances": counters.imbalances(),
        "longest pause between two outcomes, s": max(pauses_ms) / 1000,
    }


def write_settings(stack: NativeStack, folder: Path, habits: UserHabits) -> Path:
    """Those of the demo, with a longer trial."""
    tree = {name: dict(section) for name, section in demo_settings(0, habits).items()}
    tree["kafka"] |= {"bootstrap_servers": stack.bootstrap_servers, "topic_prefix": "drill"}
    tree["redis"] = {"url": stack.redis_url}
    tree["serving"] |= {"base": str(folder / "base.safetensors")}
    tree["safety"] |= {**TRIAL, "suite": str(folder / "suite.safetensors")}
    path = folder / "ol0.json"
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def settled(sent: Users, counters: Counters) -> bool:
    """Whether every record that was sent has come to rest."""
    come = counters.decisions >= sent.tally.decisions and counters.feedback >= sent.tally.feedback
    return come and not (counters.open or counters.waiting)


def play(before: str, rate_per_s: float, folder: Path, *, at_once: bool) -> Mapping[str, object]:
    """The whole drill in a folder; its figures."""
    older, habits = Build.of(before, folder / "before"), UserHabits(rate_per_s=rate_per_s)
    with NativeStack(folder / "stack") as stack, Fleet(write_settings(stack, folder, habits), folder) as fleet:
        config = folder / "ol0.json"
        older.run("topics", "apply", "--config", config)
        older.run("warmup", "--config", config)
        for name in ORDER:
            fleet.start(name, older)
        settings, split = load_settings(config), split_prompts(*read_prompts(None), seed=0)
        with Journal(settings, "releases", "candidates", "transitions") as journal:
            journal.first(ServingState, within_s=WITHIN_S)
            router, stop = Router.open(settings, Options()), Event()
            users = Users(router, split.stream, split.base, habits, 0)
            asking = Thread(target=users.run, args=(FOR_EVER, stop), daemon=True)
            asking.start()
            drill = Drill(older, config, fleet, journal)
            try:
                drill.upgrade(at_once=at_once)
                drill.roll_back()
            finally:
                stop.set()
                asking.join()
                router.close()
            wait_until(lambda: settled(users, drill.counters()), WITHIN_S)
            figures = audit(settings, users.tally.decisions, router.dropped, drill.counters())
        return {**drill.figures, "deaths": fleet.deaths, **figures}


def main() -> int:
    """Plays it; 1 where anything is lost, comes twice or does not add up."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", help="commit of the older build")
    parser.add_argument("--rate", type=float, default=150.0, help="decisions a second")
    parser.add_argument("--at-once", action="store_true", help="stop all services before any of this build starts")
    options = parser.parse_args()
    configure_logs("drill", "CRITICAL")
    began_s = time.monotonic()
    shutil.rmtree(RUN, ignore_errors=True)
    figures = play(options.before, options.rate, RUN, at_once=options.at_once)
    shutil.rmtree(RUN)  # where it fails, its logs stay
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    say(f"{time.monotonic() - began_s:.0f} s")
    return bool(figures["lost"] or figures["outcomes twice"] or figures["imbalances"])


if __name__ == "__main__":
    sys.exit(main())
