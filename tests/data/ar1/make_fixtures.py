"""Makes the checkpoints beside this file, and what torch itself computes from them.

The project does not depend on torch; this script does, and runs by hand in an environment of its own (a few GB):

    python -m venv /tmp/with-torch && /tmp/with-torch/bin/pip install torch numpy
    /tmp/with-torch/bin/python tests/data/ar1/make_fixtures.py

The policy is written from the description of AR1's in docs/adr/0007, with torch's own transformer layers.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

SEED = 7
BATCH = 6
TEMPERATURE, TAU = 1.0, 0.5
SMALL = {"summary": 24, "retrieval": 6, "vision": 10, "value": 5}
DEFAULT = {"summary": 512, "retrieval": 64, "vision": 768, "value": 32}
TRAINING = {
    "batch_size": 32,
    "learning_rate": 3e-4,
    "num_epochs": 10,
    "warmup_steps": 1000,
    "max_grad_norm": 1.0,
    "weight_decay": 1e-5,
    "eval_every": 500,
    "save_every": 1000,
    "log_every": 100,
}
PARTS = ("expert", "scope", "span", "rank")


class MacroPolicy(nn.Module):
    def __init__(self, inputs: dict[str, int], hidden: int, layers: int, experts: int, max_span: int) -> None:
        super().__init__()
        self.register_buffer("action_history", torch.zeros(10, 5))
        self.register_buffer("hysteresis_count", torch.tensor(3))
        quarter = hidden // 4
        self.chunk_proj = nn.Linear(inputs["summary"], hidden)
        self.retrieval_proj = nn.Linear(inputs["retrieval"], quarter)
        self.vision_proj = nn.Linear(inputs["vision"], quarter)
        self.value_proj = nn.Linear(inputs["value"], quarter)
        self.action_proj = nn.Linear(5, quarter)
        self.pos_proj = nn.Linear(1, quarter)
        layer = nn.TransformerEncoderLayer(hidden, nhead=8, dim_feedforward=4 * hidden, dropout=0.1, batch_first=True)
        self.state_encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        for name, width in (*zip(PARTS, (experts, 2, max_span, 4), strict=True), ("bias", 1), ("value", 1)):
            setattr(self, f"{name}_head", nn.Linear(hidden, width))

    def forward(self, states: dict[str, torch.Tensor | None]) -> dict[str, torch.Tensor]:
        action = states["prev_action"]
        quarter = self.action_proj.out_features
        auxiliary = [self.retrieval_proj(states["retrieval_features"]), self.vision_proj(states["vision_features"])]
        auxiliary += [self.value_proj(states["value_features"])]
        auxiliary += [torch.zeros(BATCH, quarter) if action is None else self.action_proj(action)]
        auxiliary += [self.pos_proj(states["chunk_index"][:, None])]
        x = self.chunk_proj(states["chunk_summary"])
        x = x + torch.cat(auxiliary, dim=1)[:, : x.shape[1]]  # the repair
        encoded = self.state_encoder(x[:, None])[:, 0]
        out = {"encoded_state": encoded, "state_values": self.value_head(encoded)[:, 0]}
        out |= {f"{part}_logits": getattr(self, f"{part}_head")(encoded) for part in PARTS}
        out["bias_scale"] = 1.9 * torch.sigmoid(self.bias_head(encoded))[:, 0] + 0.1
        out["actions"] = taken(out, action)
        return out


def taken(out: dict[str, torch.Tensor], previous: torch.Tensor | None) -> torch.Tensor:
    """The argmax, then hysteresis; as AR1's raw numbers."""
    ranks = torch.tensor([8.0, 16.0, 32.0, 64.0])
    picks = [out[f"{part}_logits"].argmax(1) for part in PARTS]
    new = torch.stack([picks[0], picks[1], picks[2] + 1, ranks[picks[3]], out["bias_scale"]], dim=1)
    if previous is None:
        return new
    before = [previous[:, 0].long(), previous[:, 1].long(), previous[:, 2].long() - 1]
    before += [(previous[:, 3:4] == ranks).int().argmax(1)]
    score = torch.zeros(BATCH)
    for weight, part, pick, old in zip((0.4, 0.2, 0.2, 0.2), PARTS, picks, before, strict=True):
        logits = out[f"{part}_logits"] / TEMPERATURE
        score += weight * (logits.gather(1, pick[:, None]) - logits.gather(1, old[:, None]))[:, 0]
    flip = torch.cat([(score > TAU)[:, None].expand(-1, 4), ((new - previous)[:, 4:].abs() > 0.2 * TAU)], dim=1)
    return torch.where(flip, new, previous)


def made_up_states(inputs: dict[str, int], generator: torch.Generator) -> dict[str, torch.Tensor]:
    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    def whole(high: int) -> torch.Tensor:
        return torch.randint(0, high, (BATCH,), generator=generator)

    ranks = torch.tensor([8.0, 16.0, 32.0, 64.0])
    before = [whole(3), whole(2), whole(3) + 1, ranks[whole(4)], 0.1 + 1.9 * torch.rand(BATCH, generator=generator)]
    return {
        "chunk_summary": normal(BATCH, inputs["summary"]),
        "retrieval_features": normal(BATCH, inputs["retrieval"]),
        "vision_features": normal(BATCH, inputs["vision"]),
        "value_features": normal(BATCH, inputs["value"]),
        "prev_action": torch.stack([one.float() for one in before], dim=1),
        "chunk_index": torch.arange(BATCH).float(),
    }


def one_step(policy: MacroPolicy, states: dict[str, torch.Tensor]) -> tuple[torch.optim.Optimizer, object]:
    """An optimiser that has a state, and its scheduler."""
    optimiser = torch.optim.AdamW(policy.parameters(), lr=3e-4, weight_decay=1e-5)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimiser, start_factor=0.1, total_iters=1000)
    out = policy.train()(states)
    (out["encoded_state"].square().mean() + sum(value.square().mean() for value in out.values())).backward()
    optimiser.step()
    scheduler.step()
    policy.eval()
    return optimiser, scheduler


def with_prefix(policy: MacroPolicy) -> dict[str, torch.Tensor]:
    """A router's state_dict: its own counters and the policy under a prefix."""
    router = nn.Module()
    router.register_buffer("flip_count", torch.tensor(11))
    router.register_buffer("step_count", torch.tensor(420))
    router.macro_policy = policy
    return router.state_dict()


def spread_heads(policy: MacroPolicy) -> None:
    """Larger weights than torch's initial ones, so that choices differ between states."""
    with torch.no_grad():
        for part in (*PARTS, "bias", "value"):
            getattr(policy, f"{part}_head").weight.mul_(4)


def answers(policy: MacroPolicy, states: dict[str, torch.Tensor], name: str) -> dict[str, np.ndarray]:
    """Inputs and outputs, with and without a previous action."""
    arrays = {f"{name}.{key}": value.numpy() for key, value in states.items()}
    for case, given in (("after", states), ("first", {**states, "prev_action": None})):
        with torch.no_grad():
            out = policy(given)
        arrays |= {f"{name}.{case}.{key}": value.numpy() for key, value in out.items()}
    return arrays


def save_odd(policy: MacroPolicy, folder: Path) -> None:
    """Valid files of rarer kinds, and beside them the weights of one head as torch reads them."""
    head = policy.expert_head.weight.detach().numpy()
    negated = policy.state_dict()
    negated["expert_head.weight"] = torch._neg_view(-negated["expert_head.weight"])
    torch.save(negated, folder / "negative_bit.pt")
    router = {f"module.{name}": tensor for name, tensor in with_prefix(policy).items()}
    torch.save({"router_state_dict": router, "step": 3}, folder / "wrapped_router.pt")
    torch.serialization.set_crc32_options(False)
    torch.save(policy.state_dict(), folder / "no_checksums.pt")
    torch.serialization.set_crc32_options(True)
    heads = dict.fromkeys(("negative_bit", "wrapped_router", "no_checksums"), head)
    np.savez_compressed(folder / "expert_heads.npz", **heads)


def main(folder: Path) -> None:
    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    policy, states = MacroPolicy(SMALL, 16, 2, 3, 3), made_up_states(SMALL, generator)
    spread_heads(policy)
    optimiser, scheduler = one_step(policy, states)
    arrays = answers(policy, states, "small")

    pg = {
        "router_state_dict": with_prefix(policy),
        "policy_optimizer_state_dict": optimiser.state_dict(),
        "step": 420,
        "episode": 17,
        "config": TRAINING,
        "kl_target": 0.01,
        "clip_ratio": 0.2,
    }
    bc = {
        "policy_state_dict": policy.state_dict(),
        "optimizer_state_dict": optimiser.state_dict(),
        "scheduler_state_dict": scheduler.state_dict(),
        "step": 1000,
        "epoch": 3,
        "best_eval_loss": float("inf"),
        "config": TRAINING,
    }
    earlier = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    earlier["expert_head.bias"] += 1
    agentic = {
        "router_state_dict": with_prefix(policy),
        "policy_state_dict": earlier,
        "config": {"training": {"learning_rate": "1e-4", "epochs": 3, "heads": ["expert", "scope"]}, "seed": None},
        "training_results": {"bc": {"loss": [0.7, 0.4]}, "pg": {"reward": 0.25, "converged": False}},
    }
    torch.save(pg, folder / "pg_final_policy.pt")
    torch.save(bc, folder / "bc_best_model.pt")
    torch.save(agentic, folder / "agentic_final_model.pt")
    torch.save(policy.state_dict(), folder / "bare_macro_policy.pt")
    torch.save(with_prefix(policy), folder / "bare_router.pt")

    save_odd(policy, folder)

    halved = MacroPolicy(DEFAULT, 8, 1, 3, 4)
    spread_heads(halved)
    halved.half()
    torch.save(halved.state_dict(), folder / "half.pt")
    arrays |= answers(halved.float().eval(), made_up_states(DEFAULT, generator), "half")
    np.savez_compressed(folder / "outputs.npz", **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent)
