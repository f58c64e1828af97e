"""From labels to maps, and from maps to answers."""
