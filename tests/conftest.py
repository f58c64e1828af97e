"""Settings and fixtures for all tests."""

import os
import signal
import warnings

import pytest
from hypothesis import settings

with warnings.catch_warnings():
    # Warnings are errors. Without a compiler the suite runs all the same, in NumPy, and skips what is compiled.
    warnings.filterwarnings("default", "hbcore runs without its compiled kernels", RuntimeWarning)
    from hbcore import kernels
    from hbcore.threads import set_threads

if kernels.backend.name == "numpy":
    os.environ["HBCORE_KERNELS"] = "numpy"  # processes that tests start need not say again what they lack

# Tests send these; under nohup, or started in the background by a script, a process ignores them.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Derandomized: the same examples on every run and machine. No deadline: the machine may be busy.
settings.register_profile("hbcore", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("hbcore")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every test works in a folder of its own: none finds what another, or an earlier run, has left."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(params=["compiled", "numpy"])
def backend(request, monkeypatch):
    """Run a test twice: with the compiled kernels and with their NumPy fallback."""
    if request.param == "numpy":
        monkeypatch.setattr(kernels, "backend", kernels.Reference())
    elif kernels.backend.name == "numpy":
        pytest.skip("hbcore was installed without a compiler: there are no compiled kernels to test")
    return request.param


@pytest.fixture
def one_thread():
    """Compute on one thread: tests that sum reals on several would be as reproducible, but slower."""
    set_threads(1)


@pytest.fixture
def one_thread_after():
    """Put the number of threads back after a test that changes it."""
    yield
    set_threads(1)


def pytest_collection_modifyitems(items):
    """Benchmarks last: some of the peers that they load, where they are installed, take over signals for good."""
    items.sort(key=lambda item: item.path.name == "test_benchmarks.py")
