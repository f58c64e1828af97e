"""Model files, and a trained network as one plan."""

from hbcore.deploy.engine import Engine

__all__ = ["Engine"]
