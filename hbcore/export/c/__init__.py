"""A model as C: the file that any device can compile, and what is written beside it."""
