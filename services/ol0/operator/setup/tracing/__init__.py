"""A torch module as a graph of the operations that a checkpoint may hold: what its forward does, without its code."""
