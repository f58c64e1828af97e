"""A user's own labels, in the formats of labelling tools."""
