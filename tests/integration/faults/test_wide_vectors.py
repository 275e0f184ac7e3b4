"""Features of any width go through log and store: what may be open follows from the store's memory."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from ol0.clock import wall_clock_ms
from ol0.config import load_settings
from ol0.controller.heads import Head
from ol0.controller.warmup import base_checkpoint
from ol0.kafka.lineage import Lineage
from ol0.kafka.sending.record_sender import RecordSender
from ol0.records import DecisionId, UserFeedback
from ol0.replay.budget import Budget
from ol0.replay.buffer import ReplayBuffer
from ol0.replay.connection import connect
from ol0.replay.layout import Key, store_key
from ol0.replay.store import ReplayStore
from ol0.wire.payloads import Payloads
from testbed.faults.traffic import TEMPLATE
from testbed.faults.world import STARTED_WITHIN_S, STREAMING, Pair, Workers, make_lineage
from testbed.waiting import wait_until

EXPERTS, DECISIONS = 8, 300
STORE_BYTES = 256 * 1024**2


@pytest.mark.parametrize("dimension", [1_536, 4_096])
def test_wide_vectors_are_joined_whole(servers: Pair, tmp_path: Path, dimension: int) -> None:
    config = make_lineage(servers, tmp_path, streaming=STREAMING)
    head = Head(np.zeros((EXPERTS, dimension), np.float32), np.zeros(EXPERTS, np.float32))
    (tmp_path / "base.safetensors").write_bytes(base_checkpoint(("expert",), (head,), 0.1))
    settings = load_settings(config)
    client, prefix, lineage = connect(settings.redis), settings.kafka.topic_prefix, Lineage.of(settings.kafka)
    store = ReplayStore(client, prefix)
    features = np.random.default_rng(0).normal(size=(DECISIONS, dimension)).astype("<f4")

    with Workers(config, ["0"]) as workers:
        wait_until(lambda: workers.is_ready("0"), STARTED_WITHIN_S)
        now_ms = wall_clock_ms()
        ids = [DecisionId(f"00000000-0000-0000-0000-{number:012d}") for number in range(DECISIONS)]
        decisions = [
            replace(TEMPLATE, decision_id=one, time_ms=now_ms, features=row.tobytes(), group=str(number))
            for number, (one, row) in enumerate(zip(ids, features, strict=True))
        ]
        thumbs = [UserFeedback(f"f-{one}", one, TEMPLATE.session_id, "user", now_ms + 1, thumb=1) for one in ids]
        RecordSender(lineage).send_all([*decisions, *thumbs])
        wait_until(lambda: store.counters().outcomes == DECISIONS, STARTED_WITHIN_S)

    assert store.counters().examples == DECISIONS
    buffer = ReplayBuffer(client, prefix, store.attach(), 0.5)
    buffer.refresh()
    for payload in buffer.newest(DECISIONS).payloads:
        found = Payloads(lineage.codec).unpack(payload)
        np.testing.assert_array_equal(found.feature_vector(), features[int(found.group or "")])
    may_be_open = int(cast("bytes", client.hget(store_key(prefix, Key.META), "max_open")))
    assert may_be_open == Budget.of(settings, dimension).windows(STORE_BYTES)
    assert 1_000 < may_be_open < 30_000
