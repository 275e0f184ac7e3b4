"""How good the learner is: beside what one would write instead, without its parts, and when things go wrong."""
