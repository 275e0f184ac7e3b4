"""The controller in numpy: heads, mixer, exploration, arms, checkpoint and canary suite."""
