"""The online learner in numpy: objective, update, mixer, replay access, cadence and the service around them."""
