"""No call from Python, however wrong, ends in a signal: it raises an exception of Python, or gives the right result.

A child process makes some thousand calls of every public layer, function, optimizer and kernel, with shapes, types,
strides and numbers drawn from a fixed seed. HBCORE_MISUSE=20000 makes more of them.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hbcore import BatchNorm2d, Tensor, kernels
from hbcore.autograd.conv import conv2d
from hbcore.binary.unit import binary_unit
from hbcore.nn.module import Parameter
from hbcore.optim.optimizers import OPTIMIZERS

ROOT = Path(__file__).parents[3]
CALLS = int(os.environ.get("HBCORE_MISUSE", "1000"))

compiled = pytest.mark.skipif(kernels.backend.name == "numpy", reason="hbcore was installed without a compiler")


def run(*arguments, **environment):
    """What a child process did."""
    command, variables = [sys.executable, *arguments], os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", kernels.available())
def test_no_call_ends_in_a_signal(name):
    done = run("-m", "tests.hbcore.kernels.misuse", str(CALLS), HBCORE_KERNELS=name)
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}"


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def words(*shape):
    return np.random.default_rng(sum(shape)).integers(0, 1 << 60, shape).astype(np.uint64)


def places(first, taps):
    """One row out of `taps`, from `first` on."""
    return np.array([first], dtype=np.int64), np.ones((1, taps), dtype=np.int32)


def update(kind, gradient=(3, 3), slot=(3, 3)):
    """One step of an optimizer on (3, 3) numbers, with a gradient and a state of other shapes."""
    parameter = Parameter(np.zeros((3, 3), dtype=np.float32))
    optimizer = OPTIMIZERS[kind]({"w": parameter}, lr=0.1)
    parameter.grad = np.ones(gradient, dtype=np.float32)
    optimizer.state = {name: np.zeros(slot, dtype=np.float32) for name in optimizer.state}
    optimizer.step()


def convolve(**options):
    return conv2d(Tensor(normal(1, 8, 8, 4)), Tensor(normal(3, 3, 4, 8)), **options)


WRONG = {
    "negative padding": ("padding", lambda k: convolve(padding=-1)),
    "no stride": ("stride", lambda k: convolve(stride=0)),
    "half a stride": ("stride", lambda k: convolve(stride=1.5)),
    "norm of others": ("scale|channels", lambda k: BatchNorm2d(4).eval()(Tensor(normal(1, 8, 8, 64)))),
    "norm of one channel": ("scale|channels", lambda k: BatchNorm2d(4).eval()(Tensor(normal(1, 8, 8, 1)))),
    "one alpha": ("alpha", lambda k: k.scaled_binary_conv2d(words(1, 4, 4, 1), words(3, 3, 1, 8), normal(1), 64)),
    "adam, gradient": ("^g |gradient", lambda k: update("adam", gradient=(2, 2))),
    "adam, one gradient": ("^g |gradient", lambda k: update("adam", gradient=(1,))),
    "rmsprop, gradient": ("^g |gradient", lambda k: update("rmsprop", gradient=(3, 4))),
    "adam, state": ("mean", lambda k: update("adam", slot=(3, 2))),
    "rmsprop, state": ("square", lambda k: update("rmsprop", slot=(1, 3))),
    "sign_backward": ("grad", lambda k: k.sign_backward(normal(4, 4), normal(5, 4))),
    "norm_sums": ("grad", lambda k: k.norm_sums(normal(4, 4), normal(5, 4), normal(4))),
    "norm_backward": ("grad", lambda k: k.norm_backward(normal(4, 4), normal(3, 4), *normal(3, 4))),
    "no windows": ("windows", lambda k: k.max_pool(normal(1, 4, 4, 3), 0)),
    "winners": ("winner", lambda k: k.max_pool_backward(normal(1, 2, 2, 3), np.zeros((2, 2, 2, 3), np.uint8), 2)),
    "rows beyond": ("first", lambda k: k.weighted(np.zeros((4, 4, 3), np.uint8), *places(2, 3), False)),
    "columns before": ("first", lambda k: k.weighted(np.zeros((4, 4, 3), np.uint8), *places(-1, 3), True)),
    "latent weights": ("w ", lambda k: k.latent_gradient(normal(3, 4), normal(2, 4), normal(4))),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.usefixtures("backend")
def test_names_the_argument(case):
    """With every backend: without the checks, compiled code reads and writes past these, and NumPy stretches some."""
    word, call = WRONG[case]
    with pytest.raises(ValueError, match=word):
        call(kernels.backend)


OF_ANOTHER_TYPE = {
    "x is in int64, expected float32": lambda k, f, d: k.sign(np.ones(4, int)),
    "grad is in float64, expected float32": lambda k, f, d: k.sign_backward(f(4), d(4)),
    "x is in float16, expected float32": lambda k, f, d: k.pack_signs(f(4, 4).astype(np.float16)),
    "w is in >f4, expected float32": lambda k, f, d: k.pack_filters(f(3, 3, 4, 4).astype(">f4")),
    "x is in float32, expected uint64": lambda k, f, d: k.binary_conv2d(f(1, 4, 4, 1), words(3, 3, 1, 4), 64),
    "w is in float64, expected uint64": lambda k, f, d: k.binary_conv2d(words(1, 4, 4, 1), d(3, 3, 1, 4), 64),
    "w is in int32, expected float32": lambda k, f, d: k.mean_magnitude(np.ones((3, 4), np.int32)),
    "w is in float32, expected float64": lambda k, f, d: k.latent_gradient(d(3, 4), f(3, 4), d(4)),
    "alpha is in float64, expected float32": lambda k, f, d: k.latent_gradient(f(3, 4), f(3, 4), d(4)),
    "x is in bool, expected float32": lambda k, f, d: k.im2col(np.ones((1, 4, 4, 2), bool), (3, 3), 1, (1, 1)),
    "origin is in float64, expected float32": lambda k, f, d: k.centred_sums(f(3, 4), d(4)),
    "shift is in float64, expected float32": lambda k, f, d: k.affine(f(3, 4), f(4), d(4)),
    "mean is in float64, expected float32": lambda k, f, d: k.norm_sums(f(3, 4), f(3, 4), d(4)),
    "c is in float64, expected float32": lambda k, f, d: k.norm_backward(f(3, 4), f(3, 4), f(4), f(4), d(4)),
    "x is in uint8, expected float32": lambda k, f, d: k.max_pool(np.ones((1, 4, 4, 2), np.uint8), 2),
    "winner is in int64, expected uint8": lambda k, f, d: k.max_pool_backward(
        f(1, 2, 2, 2), np.ones((1, 2, 2, 2), int), 2
    ),
    "s is in float32, expected uint64": lambda k, f, d: k.filter_gradient(
        f(1, 4, 4, 1), f(1, 4, 4, 8), (3, 3, 64, 8), 1
    ),
    "w is in int16, expected float32": lambda k, f, d: k.adam(
        *(np.ones(3, np.int16) for _ in "wgms"), (0.9, 0.99), 0.1, 1.0, 1e-8
    ),
    "w is in int64, expected float32": lambda k, f, d: k.rmsprop(*(np.ones(3, int) for _ in "wgs"), 0.9, 0.1, 1e-8),
}


@compiled
@pytest.mark.parametrize("message", OF_ANOTHER_TYPE)
def test_names_the_argument_of_another_type(message):
    """Compiled loops take what they were compiled for; NumPy takes most of these, and its result may stand."""
    with pytest.raises(TypeError, match=f"^{message}$"):
        OF_ANOTHER_TYPE[message](kernels.backend, normal, lambda *shape: normal(*shape, dtype=np.float64))


@pytest.mark.parametrize("gradients", kernels.GRADIENTS)
@pytest.mark.usefixtures("backend")
def test_a_unit_with_padding_beyond_its_kernel(gradients):
    """A 1 x 1 unit with padding 1 has a border of zeros, whose gradient goes nowhere: that of padding 0, cut out."""
    g, w, alpha = normal(1, 6, 6, 8), normal(1, 1, 64, 8), np.abs(normal(8))
    inner = np.ascontiguousarray(g[:, 1:-1, 1:-1])
    wide = kernels.backend.sign_gradient(g, w, alpha, 1, gradients)
    assert np.allclose(wide, kernels.backend.sign_gradient(inner, w, alpha, 0, gradients), atol=1e-5)
    direct = np.einsum("nyxo,o,ijco->nyxc", inner, alpha, np.where(w < 0, -1, 1))
    assert np.abs(wide - direct).max() < 0.02 * np.abs(direct).max()
    x = Tensor(normal(1, 4, 4, 64), requires_grad=True)
    y, *_ = binary_unit(x, *map(Tensor, (np.ones(64, "f"), np.zeros(64, "f"))), Tensor(w, True), 1e-5, 1, gradients)
    assert y.shape == (1, 6, 6, 8)
    assert not y.data[0, 0].any()
    y.backward(g)
    assert np.isfinite(x.grad).all()


THREADS = """
import sys, threading
import numpy as np
from hbcore import kernels, set_threads

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

x, w = np.ones((1, 16, 16, 64), "f"), np.ones((3, 3, 64, 64), "f")

def work():
    kernels.backend.conv2d(x, w, 1, (1, 1))

def some(count):
    for _ in range(count):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if sys.argv[1] == "helpers":
            set_threads(2)
            kernels.backend.conv2d(np.repeat(x, 4, axis=0), w, 1, (1, 1))
            set_threads(1)

some(50)
before = resident()
some(int(sys.argv[2]))
print(resident() - before)
"""


@compiled
@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
@pytest.mark.parametrize(("who", "count"), [("threads", 600), ("helpers", 200)])
def test_threads_leave_no_memory_behind(who, count):
    """Each has some 83 kB of its own while it lives."""
    done = run("-c", THREADS, who, str(count))
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 8 << 20
