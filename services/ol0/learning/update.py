"""From a gradient to new heads: clipping, trust region, moving average."""

from dataclasses import dataclass

import numpy as np

from ol0.controller.controller import Controller
from ol0.controller.heads import Floats
from ol0.learning.parts import Parts


def clip_gradient(gradient: Floats, limit: float) -> tuple[Floats, float]:
    """Scales a gradient down to a norm of at most ``limit``; returns it and its former norm."""
    norm = float(np.sqrt(np.vdot(gradient, gradient)))
    return (gradient * (limit / norm) if norm > limit else gradient), norm


def mean_kl(first: Floats, second: Floats) -> float:
    """Mean over rows of KL(first || second), summed over the parts.

    Args:
        first: log probabilities, shape (n, K).
        second: same.
    """
    return float((np.exp(first) * (first - second)).sum()) / max(len(first), 1)


def kl_to_base(base: Controller, controller: Controller, features: Floats) -> float:
    """Mean KL(base || controller) on prompts, shape (n, D), summed over the parts. Serving's probabilities may be 0."""
    tiny = np.finfo(np.float32).tiny
    first, second = (np.log(np.concatenate(one.policy(features), axis=1) + tiny) for one in (base, controller))
    return mean_kl(first, second)


@dataclass(frozen=True, slots=True)
class Confined:
    """Heads within the trust region.

    Attributes:
        heads: stacked, shape (D + 1, K).
        kl: mean KL(live || heads) on the batch's prompts, at most the radius.
        pulled_back: whether they were outside before.
    """

    heads: Floats
    kl: float
    pulled_back: bool


@dataclass(frozen=True, slots=True)
class TrustRegion:
    """The heads stay within a radius of those that serve: mean KL(live || new) on the live prompts of every batch.

    It is measured on the learnt heads alone; by convexity the policies that serve, which mix in the base, differ by
    less. Heads outside are pulled back along the line to the live ones, to the share radius / KL of the way: logits are
    linear in the heads and KL(p || softmax) is convex in the logits and 0 at the live ones, so that this share of the
    way has at most the radius. Undoing single steps instead let the heads drift to five times the radius, because
    batches differ. (Schulman et al., "Trust region policy optimization", ICML 2015, search along the line too.)

    Attributes:
        live: stacked heads of the release that serves, shape (D + 1, K).
        parts: the columns.
        radius: nats per prompt.
    """

    live: Floats
    parts: Parts
    radius: float

    def confine(self, features: Floats, heads: Floats) -> Confined:
        """Pulls heads (D + 1, K) back within the radius, measured on these features, shape (n, D + 1)."""
        live_logits, logits = features @ self.live, features @ heads
        live = self.parts.log_softmax(live_logits)
        kl = mean_kl(live, self.parts.log_softmax(logits))
        if kl <= self.radius:
            return Confined(heads, kl, pulled_back=False)
        share = self.radius / kl
        nearer = np.asarray(live_logits + share * (logits - live_logits), live_logits.dtype)
        inside = np.asarray(self.live + share * (heads - self.live), heads.dtype)
        return Confined(inside, mean_kl(live, self.parts.log_softmax(nearer)), pulled_back=True)


def moving_average(average: Floats, heads: Floats, decay: float) -> Floats:
    """W_EMA <- decay W_EMA + (1 - decay) W: what ships, because single steps are noisy (Polyak and Juditsky, 1992)."""
    return decay * average + (1 - decay) * heads
