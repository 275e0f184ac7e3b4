"""AR1 checkpoints: read without torch, checked tensor by tensor, their encoder and heads in numpy."""
