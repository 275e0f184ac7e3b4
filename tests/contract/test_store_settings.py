"""Servers that would lose examples, and those at their limits."""

from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import pytest
from redis import Redis
from redis.exceptions import RedisError

from contract.store_calls import DECISIONS, FEEDBACK, arrivals, commit, due_windows, trim, unsent
from ol0.config import StoreRisk
from ol0.errors import ConfigError, StoreError
from ol0.replay.budget import BYTES_PER_NUMBER, ENVELOPE_BYTES, MOST_OPEN, Budget
from ol0.replay.layout import FeedbackEntry, feedback_key, source_key
from ol0.replay.protocol import Applied, ClosedWindow, Unsent
from ol0.replay.server_checks import check_memory, check_settings, check_version
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore
from testbed.waiting import wait_until


@pytest.fixture
def settings(client: Redis) -> Iterator[Redis]:
    right = cast("dict[str, str]", client.config_get("maxmemory", "maxmemory-policy", "appendonly"))
    yield client
    for name, value in right.items():
        client.config_set(name, value)
    wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], 10)  # it would refuse to stop


def test_the_right_settings_pass(settings: Redis) -> None:
    check_settings(settings)
    check_memory(settings, Budget(8, 100, 1_000))


@pytest.mark.parametrize(
    ("name", "wrong", "remedy"),
    [
        ("appendonly", "no", "CONFIG SET appendonly yes"),
        ("maxmemory-policy", "allkeys-lru", "CONFIG SET maxmemory-policy noeviction"),
        ("maxmemory", "0", "CONFIG SET maxmemory 2gb"),
    ],
)
def test_a_server_that_would_lose_examples_is_refused_with_the_command_that_helps(
    settings: Redis, name: str, wrong: str, remedy: str
) -> None:
    settings.config_set(name, wrong)

    with pytest.raises(StoreError, match=remedy) as refusal:
        check_settings(settings)
    assert str(refusal.value).count("CONFIG SET") == 1, "only what is wrong is named"


def test_what_is_accepted_by_name_passes_and_nothing_else(settings: Redis) -> None:
    settings.config_set("appendonly", "no")
    check_settings(settings, [StoreRisk.NO_APPEND_ONLY_FILE])

    settings.config_set("maxmemory", "0")
    with pytest.raises(StoreError, match=r"maxmemory is not set.*no_memory_limit") as refusal:
        check_settings(settings, [StoreRisk.NO_APPEND_ONLY_FILE])
    assert "appendonly" not in str(refusal.value)
    check_settings(settings, list(StoreRisk))
    check_memory(settings, Budget(4_096, 10**7, 10**7))


def test_keys_that_never_expire_are_never_volatile(settings: Redis) -> None:
    settings.config_set("maxmemory-policy", "volatile-lru")
    check_settings(settings)


@pytest.mark.parametrize("version", ["6.2.7", "5.0.14"])
def test_a_server_that_knows_no_flags_of_scripts_is_refused_by_its_version(version: str) -> None:
    with pytest.raises(ConfigError, match=rf"version {version}: .*needs Redis 7\.0 or newer, or Valkey"):
        check_version({"redis_version": version})


@pytest.mark.parametrize("version", ["7.0.0", "7.2.4", "10.1.0", "unstable"])
def test_a_newer_server_or_one_of_another_make_is_tried(version: str) -> None:
    check_version({"redis_version": version})


def test_all_wrong_settings_are_named_at_once(settings: Redis) -> None:
    settings.config_set("appendonly", "no")
    settings.config_set("maxmemory", "0")

    with pytest.raises(StoreError, match=r"maxmemory is not set.*appendonly is no"):
        check_settings(settings)


def test_a_limit_below_what_the_budget_allows_is_refused_with_both_figures(settings: Redis) -> None:
    settings.config_set("maxmemory", "100mb")

    assert check_memory(settings, Budget(384, 12_000, 20_000)) == 20_000
    with pytest.raises(StoreError, match=r"100 MiB .* 40,000 open windows of 384 features .* 141 MiB: raise its limit"):
        check_memory(settings, Budget(384, 12_000, 40_000))


def test_where_nobody_says_how_many_windows_may_be_open_the_servers_memory_does(settings: Redis) -> None:
    settings.config_set("maxmemory", "0")
    assert check_memory(settings, Budget(4_096, 12_000, None)) == MOST_OPEN
    settings.config_set("maxmemory", "1gb")
    assert check_memory(settings, Budget(384, 12_000, None)) == MOST_OPEN
    assert 30_000 < check_memory(settings, Budget(4_096, 12_000, None)) < 50_000
    settings.config_set("maxmemory", "200mb")
    with pytest.raises(StoreError, match=r"12,000 examples and 1,000 open windows of 4,096 features"):
        check_memory(settings, Budget(4_096, 12_000, None))


def test_the_bound_of_open_windows_follows_whoever_reads(store: ReplayStore) -> None:
    claim = store.claim(DECISIONS)
    store.apply(FEEDBACK, store.claim(FEEDBACK), 1, arrivals(0)).result()
    store.apply(DECISIONS, claim, 6, arrivals(10, 1)).result()
    claim = replace(claim, next_offset=6, watermark_ms=10)
    store.registration.bound(2)
    assert store.apply(DECISIONS, claim, 7, arrivals(10, 2, 3)).result() is Applied.FULL
    store.registration.bound(3)
    assert store.apply(DECISIONS, claim, 7, arrivals(10, 2, 3)).result() is Applied.DONE


def test_a_server_at_its_limit_still_takes_records_in_closes_windows_and_frees_memory(
    settings: Redis, store: ReplayStore
) -> None:
    # Refusing a tick would stop the watermark: no window would close, and no memory ever be freed.
    settings.config_set("maxmemory", "1mb")
    with pytest.raises(RedisError, match="maxmemory"):
        settings.set("anything", "else")

    for partition, batch in ((DECISIONS, arrivals(5_000, 1, 2)), (FEEDBACK, arrivals(5_000))):
        claim = store.claim(partition)
        assert store.apply(partition, claim, claim.next_offset + 1, batch).result() is Applied.DONE
    due = due_windows(store, 10)
    assert commit(store, due.sequence, [ClosedWindow(it.decision_key, None, b"outcome") for it in due.windows], {})
    sent = Unsent(1, b"outcome" * 2)
    assert unsent(store) == sent
    trim(store, sent)

    assert (store.counters().open, unsent(store)) == (0, None)


def test_a_store_whose_budget_is_used_up_takes_no_more_memory_than_it_says(client: Redis, prefix: str) -> None:
    # Given as many windows as may be open, each with as much feedback as it may have
    open_windows, payload_bytes = 2_000, 400
    budget = Budget((payload_bytes - ENVELOPE_BYTES) // BYTES_PER_NUMBER, 100, open_windows)
    store = ReplayStore(client, prefix)
    store.register({DECISIONS: 0, FEEDBACK: 0}, capacity=100, max_open=open_windows)
    ids = [number.to_bytes(16) for number in range(open_windows)]
    decided = replace(arrivals(0, *range(open_windows)), payloads=[b"x" * payload_bytes] * open_windows)
    store.apply(DECISIONS, store.claim(DECISIONS), 1, decided).result()
    claim = store.claim(FEEDBACK)
    for number in range(8):
        entry = FeedbackEntry(feedback_key(f"thumb-{number}"), source_key("user"), 10, 10, 1.0, 1).pack()
        said = replace(arrivals(0), targets=b"".join(ids), feedback=entry * open_windows)
        store.apply(FEEDBACK, replace(claim, next_offset=number), number + 1, said).result()
    assert store.counters().open == open_windows

    taken = read_stats(client, prefix).memory_bytes

    assert budget.needed_bytes(open_windows) / 2 < taken < budget.needed_bytes(open_windows), (
        "or the limit would be far too high"
    )
