#!/usr/bin/env bash
# A success of cost 0 teaches VowpalWabbit nothing, and --epsilon 0.1 explores every time until something has failed.
#
# One would guess: a contextual bandit that is told of successes (cost 0) and failures (cost 1) learns from both, and
#   with --epsilon 0.1 it serves what it holds for best in nine of ten cases from the first example on.
# What happens: it predicts the cost 0 before it has seen anything, so a success agrees with what it says already and
#   changes no weight. After 1,000 successes of one action, and no other, all actions are as likely as at the start:
#   --cb_explore_adf shares between all that tie, so with four of them three in four decisions go elsewhere. This holds
#   for every --cb_type and for SquareCB. Only a failure teaches: the action that failed falls behind.
# What to do: give a success the cost -1 and anything else 0. Then one success is enough, in this example. Or log
#   failures first: they are what 0 and 1 learn from.
#
# Run: bash success-teaches-nothing.sh   (bash, Python 3.10 to 3.13, a network; exit code 0 while it is so)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet vowpalwabbit==9.11.9

"$folder/venv/bin/python" - <<'PYTHON'
import sys

import vowpalwabbit

ACTIONS = 4


def hold(so, sentence):
    print("as written:" if so else "CHANGED, this no longer holds:", sentence)
    if not so:
        sys.exit(1)


def example(action=None, cost=None):
    """One prompt for all, four actions; with an action it is a decision at probability 1/4, and what it cost."""
    label = f"0:{cost}:0.25 "
    return "\n".join(["shared |s x:1", *(f"{label if it == action else ''}|a e{it}" for it in range(ACTIONS))])


def model(explorer="--epsilon 0.1", kind="mtr"):
    options = f"--cb_explore_adf {explorer} --cb_type {kind} --interactions sa --quiet"
    return vowpalwabbit.Workspace(options)


def shares(learner):
    return [round(share, 3) for share in learner.predict(example())]


print("VowpalWabbit", vowpalwabbit.__version__)
EVEN = [0.25] * ACTIONS
for explorer, kind in [("--epsilon 0.1", kind) for kind in ("mtr", "ips", "dr", "dm")] + [("--squarecb", "mtr")]:
    learner = model(explorer, kind)
    hold(shares(learner) == EVEN, f"{explorer}, {kind}: a new one is even, {EVEN}")
    for _ in range(1_000):
        learner.learn(example(2, 0))
    hold(shares(learner) == EVEN, "after 1,000 successes of action 2 at cost 0 it still is")

learner = model()
learner.learn(example(1, 1))
hold(shares(learner) == [0.325, 0.025, 0.325, 0.325], "one failure of action 1 at cost 1 is enough to leave it")
learner = model()
learner.learn(example(2, -1))
hold(shares(learner) == [0.025, 0.025, 0.925, 0.025], "one success at cost -1 is enough to prefer action 2")
PYTHON
