"""A router written in torch, from its state_dict to a release that was learnt on top of it."""

from pathlib import Path
from threading import Event, Thread
from uuid import uuid4

import numpy as np
import pytest
import tomlkit
import torch
from torch import nn

from ol0.config import load_settings
from ol0.controller.checkpoint import read_checkpoint
from ol0.controller.compatibility import differences
from ol0.operator.setup.module import built_module
from ol0.operator.setup.prompts import split_prompts
from ol0.records import ServingState
from ol0.sdk.router import Router
from ol0.simulation.demo import demo_settings
from ol0.simulation.users import UserHabits, Users
from ol0.stacks.native import NativeStack
from testbed.lineages import EXPERTS, KINDS, USELESS, Journal, Place, services, small_prompts
from testbed.processes import ol0
from testbed.waiting import wait_until

HABITS = UserHabits(rate_per_s=300.0)
SERVICES = ("feedback", "learner", "canary", "drift", "release")


MODULE = f"""
from torch import nn

class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.gate, self.head = nn.Linear({KINDS}, 16), nn.Linear({KINDS}, 16), nn.Linear(16, 4)

    def forward(self, x):
        return self.head(self.up(x).relu() * self.gate(x).sigmoid())
"""


def test_a_torch_router_becomes_a_base_and_what_is_learnt_on_top_of_it_is_released(
    stack: NativeStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a router that torch trained on old kinds of prompts, their labels, and settings that name servers alone.
    prompts, old = small_prompts()
    prompts.success[~old] = np.where(np.arange(EXPERTS) == USELESS, 0.9, 0.1)  # what no old kind asks for
    known = torch.tensor(prompts.features[old])
    (tmp_path / "team_router.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    router = trained(built_module("team_router:Gated"), known, torch.tensor(prompts.success[old].argmax(axis=1)))
    torch.save(router.state_dict(), tmp_path / "router.pt")
    np.savez(tmp_path / "prompts.npz", X=prompts.features[old], P=prompts.success[old], kind=prompts.groups[old])
    config = tmp_path / "ol0.toml"
    config.write_text(tomlkit.dumps(settings_of(stack)))
    # When it is brought in with the three lines of the page, of which the warm-up may be repeated.
    words = ("--state", "router.pt", "--trainable", "gate.*", "--labels", "prompts.npz", "--out", "mine")
    lines = [
        ("base", "from-module", "team_router:Gated", *words),
        ("topics", "apply", "--config", "ol0.toml"),
        *[("warmup", "mine", "--config", "ol0.toml", "--write")] * 2,
    ]
    for line in lines:
        done = ol0(*line, cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "names these files: run `ol0 run` next" in done.stdout
    # Then the settings name its files, and it serves.
    settings = load_settings(config)
    assert settings.serving.base == tmp_path / "mine/base.safetensors"
    data = settings.serving.base.read_bytes()
    place = Place(config, settings, read_checkpoint(data), data, split_prompts(prompts, old, 0))
    np.testing.assert_array_equal(place.base.greedy(known.numpy())[:, 0], router(known).argmax(dim=1).numpy())
    with services(place, SERVICES), Journal(settings, "releases") as journal:
        assert journal.first(ServingState).live.digest == place.base.digest
        # And while people ask about new kinds, a candidate on top of the same hidden layers is released and serves.
        with Router.open(settings) as host:
            users, stop = Users(host, place.split.stream, place.split.base, HABITS, 0), Event()
            asking = Thread(target=users.run, args=(100_000, stop))
            asking.start()
            try:
                state = journal.first(ServingState, lambda it: it.live.digest != place.base.digest, within_s=120)
                wait_until(lambda: host.serving is not None and host.serving[1] == state.live.digest, 30)
            finally:
                stop.set()
                asking.join()
    live = read_checkpoint(state.live.heads, state.live.digest)
    assert differences(live, place.base) == []
    new = prompts.features[~old]
    assert (place.base.greedy(new)[:, 0] == USELESS).mean() < 0.1
    assert (live.greedy(new)[:, 0] == USELESS).mean() > 0.5
    assert live.trunk is not None
    assert set(live.trunk.tuned) == {"gate.weight", "gate.bias"}
    assert any((live.trunk.tuned[name] != live.trunk.tensors[name]).any() for name in live.trunk.tuned)


def trained(router: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> nn.Module:
    torch.manual_seed(0)
    adam = torch.optim.Adam(router.parameters(), 1e-2)
    for _ in range(60):
        loss = nn.functional.cross_entropy(router(features), labels)
        adam.zero_grad()
        loss.backward()
        adam.step()
    return router


def settings_of(stack: NativeStack) -> dict[str, dict[str, object]]:
    tree = {name: dict(section) for name, section in demo_settings(0, HABITS).items()}
    servers: dict[str, object] = {"bootstrap_servers": stack.bootstrap_servers, "topic_prefix": f"t{uuid4().hex[:8]}"}
    del tree["warmup"]  # the default asks for a better base than this: the warm-up has to say so
    return tree | {"kafka": tree["kafka"] | servers, "redis": {"url": stack.redis_url}}
