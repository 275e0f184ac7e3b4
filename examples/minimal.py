"""The smallest host: a prompt on each line of standard input, and a thumb for every answer.

Run it: echo "why does my disk spin up at night" | python examples/minimal.py ol0.toml
"""

import sys
from pathlib import Path

from embedding import embed
from ol0 import Router
from ol0.config import load_settings

SESSION = USER = "ann"

with Router.open(load_settings(Path(sys.argv[1]))) as router:
    for text in sys.stdin:
        with router.prompt(SESSION, user=USER) as prompt:
            choice = prompt.decide(embed(text, router.dimension))
        print(f"expert {choice.action[0]} answers: {text.strip()}")
        router.report(choice.decision_id, SESSION, thumb=1, user=USER)

print(f"{router.account.delivered} records delivered, {router.dropped} lost")
