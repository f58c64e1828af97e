"""Files of a run: written whole or not at all, and never by two runs at once."""
