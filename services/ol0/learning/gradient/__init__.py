"""Policy gradient behind a mixer: the learner of ``learner = "gradient"`` and of the legacy profile."""
