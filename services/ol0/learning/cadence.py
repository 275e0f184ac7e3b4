"""When to train and to offer, and what the answer to an offer means. Pure functions of records and counters.

The rules, in order:

1. Every ``examples_per_update`` new examples cause ``steps_per_update`` steps. Examples that were evicted, excluded or
   became too old before they were read cause none.
2. A candidate is offered when the mode is apply and not frozen, the last candidate was decided and nothing is
   staged, ``min_replay`` examples have come in, and the cooldown lies behind the store's watermark.
3. The last offer goes live: learning continues.
4. An older or foreign release serves instead of the one that was seen last (rolled back, or an operator's order): the
   learner restores the snapshot of the release that serves now.
5. The last offer was decided, does not serve, and ``failures`` is not what it was when it was offered: harm was shown.
   The learner restores the snapshot of the release that serves. (Not "is larger": a release in between sets it to 0.)
6. The last offer was decided, does not serve, and ``failures`` is unchanged: undecided or plainly rejected. Learning
   continues; more examples may suffice.
7. An offer that was signed with another key than the learner's current one is not waited for, unless it serves: that
   shows that its key is known. Readers ignore unknown keys (docs/adr/0011), and an answer would never come.
8. Each candidate that does not go live makes the next one more careful with the old kinds, each that does less. A
   learner with a constant budget offered candidates again and again that canary's suite had just rejected. After
   ``MOST_CAREFUL`` of them it starts again at the whole budget, so that care never ends learning for good. (A release
   may do more for the old kinds than a careful candidate, which then loses to it every time.)
9. A candidate is offered once it is expected to be ahead of what serves by ``lead_errors`` standard errors, and by less
   the longer nothing was on trial: little is learnt of other answers than those that serve, so the lead need not grow,
   and a trial is the best exploration there is.
10. A state that knows of fewer steps than the learner was answered is of a lineage that was brought in again. The
   learner begins at what serves there: an answer to the old lineage's offer would never come.

Debt (1) is never rolled back: the examples of a bad time are evidence, but each is paid for once.
"""

from dataclasses import replace

from ol0.config import OnlineLearningConfig
from ol0.learning.progress import Progress
from ol0.records import Mode, ServingState

# A round of catching up after an outage stays below a second, so that releases and the stop signal are seen.
UPDATES_PER_ROUND = 16
CAUTION = 0.8
"""Factor of the regret budget for each candidate that did not go live."""
MOST_CAREFUL = 8
"""Number of shares of the budget, down to a fifth, that are tried in turn."""


def catch_up(examples: int, drawable: int, trained: int, config: OnlineLearningConfig) -> tuple[int, int]:
    """Rule 1: returns the updates of this round, and the number of examples used after them.

    Args:
        examples: ever stored.
        drawable: those of them that can be drawn now.
        trained: those of them that were used so far.
        config: gives the examples per update.
    """
    paid = min(max(trained, examples - drawable), examples)
    updates = min((examples - paid) // config.examples_per_update, UPDATES_PER_ROUND)
    return updates, paid + updates * config.examples_per_update


def may_offer(state: ServingState, progress: Progress, *, examples: int, watermark_ms: int, min_replay: int) -> bool:
    """Rule 2."""
    allowed = state.mode is Mode.APPLY and not state.frozen
    answered = progress.step <= state.decided_step and state.staged is None
    return allowed and answered and examples >= min_replay and watermark_ms >= state.cooldown_until_ms


def budget_share(progress: Progress) -> float:
    """Rule 8: the share of the regret budget that the next candidate may use."""
    return float(CAUTION ** (progress.turned_down % MOST_CAREFUL))


def lead_needed(config: OnlineLearningConfig, *, examples: int, waits_from: int) -> float:
    """Rule 9: standard errors; half of ``lead_errors`` after waiting for twice ``min_replay`` examples.

    Args:
        config: gives both.
        examples: ever stored.
        waits_from: of them, those that there were when the last candidate was decided; 0: none was offered. Nobody
            waits before ``min_replay``.
    """
    waited = max(examples - max(waits_from, config.min_replay), 0)
    return config.lead_errors / (1 + waited / (2 * config.min_replay))


def after_state(progress: Progress, state: ServingState) -> tuple[Progress, bool]:
    """Rules 3 to 6 and 10: returns the progress after this state, and whether to restore the snapshot of what serves.

    When it is restored, the caller sets ``trained``.
    """
    if progress.step - (not progress.settled) > state.decided_step:  # the last one may be on its way
        return Progress.first(state), True
    live = state.live.digest
    accepted = not progress.settled and live == progress.offered
    went_back = live != progress.serving and not accepted
    decided = not progress.settled and (accepted or state.decided_step >= progress.step)
    harmed = decided and not accepted and state.failures != progress.failures
    turned_down = progress.turned_down + (decided and not accepted) - accepted
    after = replace(
        progress,
        turned_down=max(turned_down, 0),
        serving=live,
        settled=progress.settled or decided,
        resume=live if went_back or harmed else progress.resume,
        releases=(*progress.releases, live) if accepted else progress.releases,
    )
    return after, went_back or harmed


def with_key(progress: Progress, state: ServingState, signer: str | None) -> Progress:
    """Rule 7, at start: returns the progress of a learner that signs with the key of this id."""
    believed = {state.live.digest} if state.staged is None else {state.live.digest, state.staged.release.digest}
    if progress.settled or progress.signer == signer or progress.offered in believed:
        return progress
    return replace(progress, settled=True, step=state.decided_step)
