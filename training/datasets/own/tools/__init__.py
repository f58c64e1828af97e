"""Labels as labelling tools export them, each turned into the same `Content` that our own formats give."""
