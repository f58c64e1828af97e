"""A module for each verb of `python -m hbcore.inspect`: what it computes, its options, and what it says."""
