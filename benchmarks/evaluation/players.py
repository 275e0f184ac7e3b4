"""Who is played on the streams, with which settings."""

from collections.abc import Mapping
from typing import Final

from benchmarks.evaluation.contenders import LEARNERS, Frozen, Make
from benchmarks.evaluation.peers import LinUCB, LogisticBandit, SingleExpert
from benchmarks.evaluation.vowpal import VowpalWabbit
from benchmarks.evaluation.worlds import EPSILON

FROZEN: Final = "frozen base"
VOWPAL: Final = "VowpalWabbit"
PLAYERS: Final[Mapping[str, Make]] = {
    FROZEN: Frozen,
    "best single expert": SingleExpert,
    **LEARNERS,
    f"{VOWPAL}, SquareCB": lambda world, _: VowpalWabbit(world, "--squarecb"),
    f"{VOWPAL}, epsilon-greedy": lambda world, _: VowpalWabbit(world, f"--epsilon {EPSILON}"),
    "LinUCB": lambda world, _: LinUCB(world, 0.1),
    "logistic bandit": lambda world, _: LogisticBandit(world, 1.0),
}
"""Settings are the best of a few by success on .85 new and .15 old prompts, summed over the Debian data and two or
three real streams, seeds 10 and 11: alpha of .01, .1, .3 and 1; penalty of .1, 1 and 10; SquareCB's gamma_scale of 10
(its default), 100 and 1,000. Of epsilon-greedy VowpalWabbit the defaults stand: rates of .1 and 2 and bagging were each
better on one stream, doubly robust costs on none. The base's answer as a feature brought none of them anything."""
UNTOUCHED: Final = (FROZEN, "best single expert")
"""They learn nothing, so that traffic with nothing to teach does not change them."""
