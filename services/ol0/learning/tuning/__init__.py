"""Hidden layers that learn, in torch: the objective, the Fisher information that holds them, and the training."""
