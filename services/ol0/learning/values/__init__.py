"""What every expert is worth on every prompt: a hierarchical ridge regression, and when to leave the base's answer."""
