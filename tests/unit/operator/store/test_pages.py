from dataclasses import replace

from rich.console import Console

from ol0.operator.store.forget import Forgotten
from ol0.operator.store.pages import forget_page, rebuild_page, stats_page
from ol0.operator.store.rebuild import RebuildPlan
from ol0.records import Partition
from ol0.replay.counters import Counters
from ol0.replay.protocol import Published
from ol0.replay.stats import PartitionState, StoreStats

NOW = 1_772_366_400_000
STATS = StoreStats(
    incarnation="00ff",
    counters=Counters.parse(
        {b"count:decisions": b"12", b"count:decisions_late": b"2", b"count:outcomes": b"9", b"count:examples": b"9"}, 1
    ),
    capacity=10,
    max_open=2_000,
    filled=8,
    priorities=(0.5, 1.0, 4.25),
    anchors=3,
    outbox=0,
    partitions=(
        PartitionState("t.decisions.v1[0]", 2, 1_234, NOW + 1_500),
        PartitionState("t.feedback.user.v1[0]", 1, 55, NOW),
    ),
    memory_bytes=3 * 2**20,
    ring_bytes=2**19,
    payload_bytes=2 * 2**20,
)
PLAN = RebuildPlan(
    {Partition("t.decisions.v1", 0): (0, 90), Partition("t.feedback.user.v1", 0): (40, 45)},
    Published(6, NOW, b"k" * 16),
    7,
    exists=False,
    is_owned=False,
)


def shown(stats: StoreStats, width: int = 120) -> str:
    console = Console(width=width, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(stats_page(stats))
    return capture.get()


def test_statistics_show_drops_by_reason_memory_against_payload_and_who_holds_the_watermark_back() -> None:
    page = shown(STATS)

    assert "12: 9 outcomes, 2 dropped (late)" in page
    assert "8 of 10; 0 evicted, 0 excluded" in page
    assert "0.5 least, 1 median, 4.25 largest" in page
    assert "3.0 MiB: ring 512.0 KiB, payloads 2.0 MiB" in page
    lines = {line.split()[0]: line for line in page.splitlines() if line.startswith("t.")}
    assert "1.5 s ahead" in lines["t.decisions.v1[0]"]
    assert "holds the watermark back" in lines["t.feedback.user.v1[0]"]
    assert "does not add up" not in page


def test_partitions_can_be_told_apart_on_a_narrow_page() -> None:
    names = [f"lineage-with-a-long-name.feedback.{kind}.v1[0]" for kind in ("user", "tool", "implicit")]
    page = shown(replace(STATS, partitions=tuple(PartitionState(name, 1, 55, NOW) for name in names)), width=70)

    table = page.partition("partition")[2].splitlines()[1:]
    assert "".join(line.split("  ")[0].strip() for line in table) == "".join(names)


def test_sums_that_do_not_hold_are_shown() -> None:
    page = shown(replace(STATS, counters=replace(STATS.counters, open=2)))

    assert "decisions = outcomes + dropped + open: 12 is not 9 + 2 + 2" in page


def test_an_empty_store_is_shown_without_figures_that_it_has_not() -> None:
    page = shown(replace(STATS, priorities=None, filled=0, payload_bytes=0, partitions=()))

    assert "none" in page


def test_a_rebuild_says_what_the_logs_reach_and_what_is_published() -> None:
    page = rebuild_page(PLAN)

    assert "there is no store" in page
    assert "t.decisions.v1[0]: offsets 0 to 90, the whole log" in page
    assert "t.feedback.user.v1[0]: offsets 40 to 45, the 40 before are gone" in page
    assert "up to number 6, of the window that closed at 2026-03-01 12:00:00Z" in page
    assert "`ol0 warmup`" in page


def test_a_rebuild_without_outcomes_says_so() -> None:
    assert "no outcome is published so far" in rebuild_page(replace(PLAN, published=None, next_outcome=0, exists=True))


def test_a_rebuild_after_outcomes_have_expired_says_with_which_number_it_goes_on() -> None:
    page = rebuild_page(replace(PLAN, published=None, next_outcome=1_200, exists=True))

    assert "no outcome is published: all have expired" in page
    assert "the next outcome gets number 1,200" in page


def test_forgetting_says_what_is_gone_and_when_the_copies_expire() -> None:
    page = forget_page(Forgotten("5f2b9c", 2, 30, {"t.decisions.v1": 7.0}), NOW)

    assert "2 open windows, 30 examples" in page
    assert "t.decisions.v1 (and its dead letters): 7 days" in page
    assert "2026-03-08 12:00:00Z" in page
