"""Sets of human poses in their original formats."""
