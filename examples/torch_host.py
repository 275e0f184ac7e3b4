"""A host whose encoder is a torch module: all prompts are encoded in one batch, then each gets its expert.

torch is the host's own. What serves is computed in numpy, hidden layers included, whatever trained them.

Run it: echo "why does my disk spin up at night" | python examples/torch_host.py ol0.toml
"""

import sys
from pathlib import Path

import torch
from torch import nn

from embedding import embed
from ol0 import Router
from ol0.config import load_settings

SESSION = USER = "ann"
WORDS = 512

with Router.open(load_settings(Path(sys.argv[1]))) as router:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(WORDS, router.dimension), nn.Tanh())  # yours, with the weights it was trained to
    texts = [line.strip() for line in sys.stdin]
    with torch.inference_mode():
        encoded = encoder(torch.stack([torch.from_numpy(embed(text, WORDS)) for text in texts])).numpy()
    for text, features in zip(texts, encoded, strict=True):
        with router.prompt(SESSION, user=USER) as prompt:
            choice = prompt.decide(features)
        print(f"expert {choice.action[0]} answers: {text}")
        router.report(choice.decision_id, SESSION, thumb=1, user=USER)

print(f"{router.account.delivered} records delivered, {router.dropped} lost")
