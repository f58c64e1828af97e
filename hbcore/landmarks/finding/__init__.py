"""Where to look in a whole picture, and in the next one of a film."""
