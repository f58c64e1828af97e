"""An engine of any variant, for all that is exported."""

import os

import pytest

from hbcore import kernels
from hbcore.deploy import Engine


@pytest.fixture
def engine_of():
    """An engine of a model for pictures of a side, of a variant by name."""

    def made(model, side, variant):
        kernels.backend = kernels.choose(variant)
        return Engine(model, side, side)

    before = kernels.backend
    yield made
    kernels.backend = before
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)
