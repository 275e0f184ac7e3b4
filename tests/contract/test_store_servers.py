"""The same store on every kind of server: a cluster, behind Sentinel, over TLS, on a managed one."""

from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import ResponseError

from contract.store_calls import DECISIONS, FEEDBACK, arrivals
from ol0.config import RedisConfig, StoreRisk
from ol0.errors import StoreError
from ol0.replay.anchors import AnchorStore
from ol0.replay.layout import Key, store_key
from ol0.replay.protocol import Applied
from ol0.replay.server_checks import open_store, store_probe
from ol0.replay.stats import read_stats
from ol0.replay.store import ReplayStore
from support.store_servers import RIGHT, StoreServer, behind_tls, cluster_of_two, move_slot, sentinel_of
from testbed.waiting import wait_until

PREFIX = "lineage"
FAILOVER_S = 20.0


def config(url: str, *accept: StoreRisk) -> RedisConfig:
    return RedisConfig(url=SecretStr(url), accept=accept)


def take_in(store: ReplayStore, watermark_ms: int, decision: int) -> None:
    """One batch with one decision, as whoever owns the partition now."""
    claim = store.claim(DECISIONS)
    taken = store.apply(DECISIONS, claim, claim.next_offset + 1, arrivals(watermark_ms, decision)).result()
    assert taken is Applied.DONE


def a_store(client: Redis) -> ReplayStore:
    store = ReplayStore(client, PREFIX)
    store.register({DECISIONS: 0, FEEDBACK: 0}, capacity=4, max_open=10)
    return store


def use_everything(client: Redis) -> ReplayStore:
    """Scripts, several commands in one go, transactions and plain commands: whatever a lineage asks of its server."""
    store = a_store(client)
    take_in(store, 1_000, 1)
    AnchorStore(client, PREFIX).add_anchors([(b"anchor", 1.0)])
    assert store.turn(10).result().due.windows == []
    assert store.counters().open == read_stats(client, PREFIX).counters.open == 1
    return store


def test_a_cluster_whose_nodes_say_where_the_keys_are(tmp_path: Path) -> None:
    # Given a cluster whose first node has none of the lineage's keys, and a seed that is down
    with cluster_of_two(tmp_path) as nodes:
        slot = int(nodes[0].ask("CLUSTER", "KEYSLOT", store_key(PREFIX, Key.META)))
        owner, other = (nodes[1], nodes[0]) if slot >= 8192 else nodes
        with open_store(config(f"redis+cluster://127.0.0.1:1,127.0.0.1:{other.port}"), PREFIX) as client:
            store = use_everything(client)
            assert owner.client.dbsize()
            assert not other.client.dbsize()

            # When the slot moves to the other node
            move_slot(slot, owner, other)

            # Then the same connections follow it
            take_in(store, 2_000, 2)
            assert store.counters().open == 2

        # And a plain URL of any node does
        with open_store(config(owner.url), PREFIX) as client:
            assert ReplayStore(client, PREFIX).counters().open == 2
            store_probe(config(owner.url), PREFIX, 2.0)()


def fail_over(sentinel: StoreServer) -> bool:
    """Whether it does; not before it has heard of the replica."""
    with suppress(ResponseError):
        return bool(sentinel.ask("SENTINEL", "FAILOVER", "main"))
    return False


def test_sentinel_names_the_server_and_after_a_failover_another_one(tmp_path: Path) -> None:
    with (
        StoreServer(tmp_path / "a", *RIGHT) as master,
        StoreServer(tmp_path / "b", *RIGHT, "--replicaof", f"127.0.0.1 {master.port}") as replica,
    ):
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up", FAILOVER_S)
        with (
            sentinel_of(tmp_path / "s", master) as sentinel,
            open_store(config(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/main/0"), PREFIX) as client,
        ):
            wrong = config(f"redis+sentinel://127.0.0.1:{sentinel.port}/other")
            with pytest.raises(
                StoreError, match=rf"no sentinel of 127\.0\.0\.1:{sentinel.port} names a master 'other'"
            ):
                open_store(wrong, PREFIX)
            store = use_everything(client)
            wait_until(lambda: replica.client.dbsize() == master.client.dbsize(), FAILOVER_S)

            # When Sentinel makes the replica the master, and the old one its replica
            wait_until(lambda: fail_over(sentinel), FAILOVER_S)
            names_new = ["127.0.0.1", str(replica.port)]
            wait_until(lambda: sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main") == names_new, FAILOVER_S)
            master.ask("REPLICAOF", "127.0.0.1", replica.port)

            # Then the same connections go there
            take_in(store, 2_000, 2)
            assert store.counters().open == 2


def test_a_server_over_tls(tmp_path: Path) -> None:
    with StoreServer(tmp_path / "a", *RIGHT) as server, behind_tls(tmp_path, server) as (port, certificate):
        with open_store(config(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={certificate}"), PREFIX) as client:
            use_everything(client)
        with pytest.raises(StoreError, match="certificate verify failed"):
            open_store(config(f"rediss://127.0.0.1:{port}/0"), PREFIX)


def test_a_managed_server_is_taken_when_its_risks_are_accepted_by_name(tmp_path: Path) -> None:
    # Given what ElastiCache is: no CONFIG, no append-only file, and keys that expire may be evicted
    options = ("--appendonly", "no", "--maxmemory-policy", "volatile-lru", "--rename-command", "CONFIG", "")
    with StoreServer(tmp_path, *options) as server:
        with pytest.raises(StoreError, match=r"no_memory_limit.*no_append_only_file.*rebuild") as refusal:
            open_store(config(server.url), PREFIX)
        assert "maxmemory-policy" not in str(refusal.value), "no key of a lineage expires"
        with pytest.raises(StoreError, match="no_memory_limit"):
            open_store(config(server.url, StoreRisk.NO_APPEND_ONLY_FILE), PREFIX)

        with open_store(config(server.url, *StoreRisk), PREFIX) as client:
            store = use_everything(client)
            assert set(map(client.ttl, client.scan_iter())) == {-1}
            take_in(store, 2_000, 2)


def test_a_probe_says_that_the_server_is_away(tmp_path: Path) -> None:
    with StoreServer(tmp_path, *RIGHT) as server:
        ask = store_probe(config(server.url), PREFIX, 2.0)
        ask()
    with pytest.raises(StoreError, match=r"redis\.url points to a server that is up"):
        ask()


def test_a_user_who_may_not_is_told_what_he_needs(tmp_path: Path) -> None:
    with StoreServer(tmp_path, *RIGHT) as server:
        server.ask("ACL", "SETUSER", "ann", "on", ">pw", "~*", "+@all", "-info")
        with pytest.raises(StoreError, match=r"INFO: NoPermissionError.*user of redis\.url"):
            open_store(config(f"redis://ann:pw@127.0.0.1:{server.port}/0"), PREFIX)
        with pytest.raises(StoreError, match=r"AuthenticationError.*right password"):
            open_store(config(f"redis://ann:wrong@127.0.0.1:{server.port}/0"), PREFIX)
