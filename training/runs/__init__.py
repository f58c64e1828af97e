"""Training runs: steps, checkpoints, evaluation, and everything a long run needs around them."""
