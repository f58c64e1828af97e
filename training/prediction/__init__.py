"""A trained model, and its answers for a user's own pictures."""
