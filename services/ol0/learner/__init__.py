"""The learner as a service: between the replay store and the candidates."""
