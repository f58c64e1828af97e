"""Training runs: steps, checkpoints, evaluation, and everything a long run needs around them.

Reading order: network (before the first step), techniques (what of it is binary, and its teacher), trainer (one
update), checkpoint, bad_pictures, signals, run (the whole), progress and curves (for the user).
"""
