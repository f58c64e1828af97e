"""Reverse-mode differentiation, and the real-valued operations it goes through."""
