"""Binary convolutions and their gradients by tiles (AMX): to the bit what other kernels give, and absent where they may
not be used."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hbcore import bits, kernels
from hbcore.threads import set_threads

NEEDS_TILES = pytest.mark.skipif("amx" not in kernels.available(), reason="this CPU, system or build has no AMX")

# (pictures, height, width, channels, filters, kernel, padding): tiles want 64 pixels in a block, and 64 filters.
SHAPES = [
    (2, 8, 8, 64, 64, 3, 1),
    (1, 64, 64, 16, 64, 3, 1),  # whole steps of 64 pixels and of 16 channels
    (3, 17, 33, 70, 130, 3, 1),  # filters that are none of 64
    (1, 5, 200, 33, 256, 3, 1),  # two blocks side by side
    (2, 9, 12, 5, 320, 5, 2),  # more filters than are added before they are rounded
    (9, 6, 11, 65, 17, 2, 1),  # more blocks than are taken together
    (1, 40, 36, 48, 128, 1, 0),
    (2, 4, 4, 64, 64, 3, 0),  # too few pixels
]


@pytest.fixture(autouse=True)
def as_before():
    yield
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)
    set_threads(1)


def example(shape, seed=0):
    """(signs (N, H, W, C) as numbers, g (N, H', W', O), w (kH, kW, C, O), alpha (O,))."""
    n, height, width, channels, filters, kernel, padding = shape
    rng = np.random.default_rng(seed)
    out = height + 2 * padding - kernel + 1, width + 2 * padding - kernel + 1
    signs = np.where(rng.random((n, height, width, channels)) < 0.5, -1, 1).astype(np.float32)
    g = rng.standard_normal((n, *out, filters)) * np.exp(2 * rng.standard_normal((n, *out, 1)))
    w = np.where(rng.random((kernel, kernel, channels, filters)) < 0.5, -1, 1).astype(np.float32)
    return signs, g.astype(np.float32), w, rng.random(filters).astype(np.float32)


def gradients(name, signs, g, w, alpha, padding):
    backend = kernels.choose(name)
    ds = backend.sign_gradient(g, w, alpha, padding, "int8")
    return ds, backend.filter_gradient(bits.pack_signs(signs), g, w.shape, padding, "int8")


@NEEDS_TILES
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_bits_as_without_tiles_on_any_number_of_threads(shape):
    signs, g, w, alpha = example(shape)
    expected = gradients("avx512", signs, g, w, alpha, shape[-1])
    for threads in (1, 2, 5):
        set_threads(threads)
        for ours, theirs in zip(gradients("amx", signs, g, w, alpha, shape[-1]), expected, strict=True):
            assert ours.tobytes() == theirs.tobytes(), threads


def exact(signs, g, w, padding):
    """Both gradients in whole numbers, tap by tap."""
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    x, (rows, cols) = np.pad(signs, around).astype(np.int64), g.shape[1:3]
    g, w = g.astype(np.int64), w.astype(np.int64)
    dx, dw = np.zeros_like(x), np.empty_like(w)
    for i, j in np.ndindex(w.shape[:2]):
        dx[:, i : i + rows, j : j + cols] += np.tensordot(g, w[i, j], (3, 1))
        dw[i, j] = np.tensordot(x[:, i : i + rows, j : j + cols], g, ((0, 1, 2), (0, 1, 2)))
    return dx[:, padding : x.shape[1] - padding, padding : x.shape[2] - padding], dw


@NEEDS_TILES
@pytest.mark.parametrize("shape", SHAPES)
def test_whole_numbers_are_exact(shape):
    """Where the largest of every group is 127, a step is worth 1 and nothing is rounded."""
    signs, g, w, _ = example(shape)
    g = np.random.default_rng(1).integers(-127, 128, g.shape).astype(np.float32)
    g[..., 0] = 127  # of a pixel: the filters' groups need one of each in a block of pixels
    g[:, :, ::4] = 127
    found = gradients("amx", signs, g, w, np.ones(w.shape[3], dtype=np.float32), shape[-1])
    for ours, whole in zip(found, exact(signs, g, w, shape[-1]), strict=True):
        assert np.array_equal(ours, whole)


# Of whole panels, and ragged in every direction; one by one, and in pairs.
FORWARD = [
    (2, 24, 30, 64, 32, 3, 1),
    (3, 11, 9, 290, 130, 1, 0),
    (1, 19, 37, 33, 24, 5, 1),
    (30, 3, 3, 130, 40, 3, 1),
    (2, 16, 32, 256, 64, 3, 1),
    (1, 19, 37, 128, 40, 3, 1),
    (3, 11, 12, 192, 130, 3, 0),
    (30, 3, 3, 128, 24, 3, 2),
]


@NEEDS_TILES
@pytest.mark.parametrize("shape", FORWARD)
def test_binary_convolutions_are_exact_on_any_number_of_threads(shape):
    signs, g, w, alpha = example(shape)
    padding, (rows, cols) = shape[-1], g.shape[1:3]
    x = np.pad(signs, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    sums = sum(x[:, i : i + rows, j : j + cols] @ w[i, j] for i, j in np.ndindex(w.shape[:2]))
    backend = kernels.choose("amx")
    filters = np.ascontiguousarray(np.moveaxis(bits.pack_signs(np.moveaxis(w, 2, 3)), 2, 3))
    for threads in (1, 2, 5):
        set_threads(threads)
        found = backend.scaled_binary_conv2d(bits.pack_signs(signs), filters, alpha, shape[3], 1, padding)
        assert np.array_equal(found, alpha * sums), threads


WITHOUT = """
import ctypes, mmap, sys

class Stack(ctypes.Structure):
    _fields_ = [("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

memory = mmap.mmap(-1, 4096)
stack = Stack(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 0, 4096)
if ctypes.CDLL(None).sigaltstack(ctypes.byref(stack), None):
    sys.exit("no such stack")
import hbcore
print(hbcore.kernel_report()["kernels"], *hbcore.kernels.available())
"""


@NEEDS_TILES
def test_without_the_permission_there_are_no_tiles():
    """A stack for signals that is too small for tiles to be saved there: Linux then refuses to allow them."""
    free = {name: value for name, value in os.environ.items() if name != "HBCORE_KERNELS"}
    done = subprocess.run([sys.executable, "-c", WITHOUT], env=free, capture_output=True, text=True, check=False)
    if done.stderr.endswith("no such stack\n"):
        pytest.skip("the system refuses so small a stack")
    names = [name for name in kernels.available() if name != "amx"]
    assert (done.returncode, done.stdout.split()) == (0, [names[0], *names]), done.stderr


@pytest.mark.skipif("amx" in kernels.available(), reason="there is AMX")
def test_tiles_that_are_not_there_are_refused_by_name():
    with pytest.raises(ImportError, match="HBCORE_KERNELS=amx: this build or this CPU has no such kernels"):
        kernels.choose("amx")


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc")
def test_tiles_are_offered_only_where_the_cpu_names_them():
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split()
    if "amx" in kernels.available():
        assert {"amx_tile", "amx_int8"} <= set(flags)
