"""What may be different about a stream: who comes, what is said of it, and by whom."""

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.evaluation.worlds import USERS, Pool, World, vote
from ol0.controller.controller import Actions
from ol0.controller.heads import Floats
from ol0.learning.batch import Batch

STALE_ANGLE = np.radians(25)


@dataclass(frozen=True)
class Scenario:
    """One way in which things go. The default: every new prompt once, in random order, every vote there and honest.

    Attributes:
        name: as it stands in the tables.
        new_share: of new prompts in the stream; the rest are old ones. 0: old prompts alone, as many as there are new.
        missing: share of decisions of which nobody says anything.
        inverted: share of users who always say the opposite.
        lying: share of users who do so about the most frequent new kind alone.
        in_sequence: new kinds come one after the other.
        stale: share of prompts whose features are those of an older encoder, turned against today's by 25 degrees, when
            they are served and when they are learnt from. Tests are not.
    """

    name: str
    new_share: float = 1.0
    missing: float = 0.0
    inverted: float = 0.0
    lying: float = 0.0
    in_sequence: bool = False
    stale: float = 0.0

    def stream(self, world: World, rng: np.random.Generator) -> Pool:
        """The prompts in the order in which they come."""
        order = rng.permutation(len(world.new))
        if self.in_sequence:
            kinds = world.new.kinds[order]
            place = {kind: number for number, kind in enumerate(rng.permutation(np.unique(kinds)))}
            order = order[np.argsort([place[kind] for kind in kinds], kind="stable")]
        new = world.new.take(order)
        count = len(new) if self.new_share == 0 else round(len(new) * (1 / self.new_share - 1))
        old = world.old.take(rng.integers(0, len(world.old), count))
        if self.new_share == 0:
            return old
        # Old prompts at random places, new ones in their order between them.
        is_new = rng.permutation(np.arange(len(new) + count) < len(new))
        rows = np.where(is_new, np.cumsum(is_new) - 1, len(new) + np.cumsum(~is_new) - 1)
        pool = new.followed_by(old).take(rows)
        turned = rng.random(len(pool)) < self.stale
        return replace(pool, features=np.where(turned[:, None], turn(pool.features, rng), pool.features))

    def say(self, prompts: Pool, greedy: Actions, target: str, rng: np.random.Generator) -> Batch:
        """What is learnt from: decisions with exploration, votes of whoever votes, as they vote.

        Args:
            prompts: as they come.
            greedy: what the serving policy answers, shape (n,).
            target: the kind that liars lie about.
            rng: chance.
        """
        batch = vote(prompts, greedy, rng)
        opposed = (batch.users < self.inverted * USERS) | (batch.users < self.lying * USERS) & (prompts.kinds == target)
        voted = replace(batch, rewards=np.where(opposed, 1 - batch.rewards, batch.rewards).astype(np.float32))
        return voted.take(np.flatnonzero(rng.random(len(voted)) >= self.missing))


def target_of(world: World) -> str:
    """The most frequent new kind."""
    ((kind, _),) = Counter(world.new.kinds.tolist()).most_common(1)
    return str(kind)


def turn(features: Floats, rng: np.random.Generator) -> Floats:
    """Every vector turned by the same angle, each in a plane with its own image under one random rotation."""
    dimension = features.shape[1]
    rotation, _ = np.linalg.qr(rng.normal(size=(dimension, dimension)))
    image = features @ rotation.astype(np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    along = (image * features).sum(axis=1, keepdims=True) / lengths**2
    across = image - along * features
    across *= lengths / np.linalg.norm(across, axis=1, keepdims=True)
    return np.asarray(np.cos(STALE_ANGLE) * features + np.sin(STALE_ANGLE) * across, np.float32)


USUAL = Scenario("every prompt is new")
SCENARIOS = (
    USUAL,
    Scenario("90 % new", new_share=0.9),
    Scenario("50 % new", new_share=0.5),
    Scenario("30 % new", new_share=0.3),
    Scenario("30 % of the votes missing", missing=0.3),
    Scenario("half of the features stale", stale=0.5),
    Scenario("kinds in sequence", in_sequence=True),
    Scenario("10 % of the users inverted", inverted=0.1),
    Scenario("25 % of the users inverted", inverted=0.25),
    Scenario("20 % lie about one kind", lying=0.2),
    Scenario("null: only old prompts", new_share=0.0),
)
