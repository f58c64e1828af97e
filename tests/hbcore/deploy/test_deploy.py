"""The deployed network gives what the model gives, to the last bit; folding is exact at every tie."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hbcore import StackedHourglass, Tensor, kernels, no_grad
from hbcore.deploy import Engine
from hbcore.deploy.folding import threshold
from hbcore.nn.layers import BinaryConv2d, ReLU, use_packed
from hbcore.threads import set_threads
from tests.architectures import ARCHITECTURES, network, pictures


@pytest.fixture(params=kernels.available())
def variant(request, monkeypatch):
    """Run a test with every backend."""
    monkeypatch.setattr(kernels, "backend", kernels.choose(request.param))
    yield request.param
    kernels.choose(os.environ.get("HBCORE_KERNELS") or None)


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
MODEST = st.floats(-4, 4, width=32)


def negative(scale, shift, x):
    with np.errstate(over="ignore", invalid="ignore"):
        return np.float32(scale) * np.float32(x) + np.float32(shift) < 0


@given(st.one_of(FINITE, MODEST), st.one_of(FINITE, MODEST), st.lists(st.one_of(FINITE, MODEST), max_size=5))
@example(0.0, -1.0, [0.0, 1e38])
@example(0.0, 0.0, [0.0, -1.0])
@example(-0.0, 1e-45, [3.0])
@example(1.0, 0.0, [-0.0, 0.0, 1e-45, -1e-45])
@example(-1.0, 0.0, [-0.0, 0.0, 1e-45, -1e-45])
@example(1e-45, -1e-45, [1.0, 0.5, 0.49])
@example(3e38, 3e38, [-1.0, -3e38])
def test_threshold_is_exact(scale, shift, points):
    t, flip = (a[0] for a in threshold(np.array([scale], dtype=np.float32), np.array([shift], dtype=np.float32)))
    largest = np.finfo(np.float32).max
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        root = np.float32(-shift) / np.float32(scale)
    near = [t, np.nextafter(t, np.float32(np.inf)), np.nextafter(t, np.float32(-np.inf)), root]
    for x in (*near, *points, 0.0, -0.0, largest, -largest):
        if np.isfinite(x):
            assert bool(np.float32(x) < t) ^ bool(flip) == bool(negative(scale, shift, x)), x


def test_threshold_by_hand():
    """2 x - 3 is negative below 1.5; -2 x - 3 above -1.5; a constant everywhere or nowhere."""
    t, flip = threshold(np.array([2, -2, 0, 0], dtype=np.float32), np.array([-3, -3, -1, 1], dtype=np.float32))
    assert (t[0], bool(flip[0])) == (1.5, False)
    assert (t[1], bool(flip[1])) == (np.nextafter(np.float32(-1.5), np.float32(0)), True)
    x = np.array([-1e30, -1.5, 0, 1e30], dtype=np.float32)[:, None]
    assert ((x < t) ^ flip).astype(int).tolist() == [[1, 0, 1, 0], [1, 0, 1, 0], [1, 1, 1, 0], [0, 1, 1, 0]]


@pytest.mark.usefixtures("variant")
@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("batch", [1, 3])
def test_engine_is_the_model_to_the_bit(name, batch):
    model = network(**ARCHITECTURES[name]).eval()
    x = pictures(batch, 32, 64)
    with no_grad():
        expected = model(Tensor(x))[-1].data
        packed = use_packed(model)(Tensor(x))[-1].data
    engine = Engine(model, 32, 64, batch)
    for _ in range(2):
        y = engine(x)
        assert y.dtype == np.float32
        assert y.tobytes() == expected.tobytes() == packed.tobytes()
    other = pictures(batch, 32, 64, seed=6)
    assert engine(other).tobytes() != y.tobytes()
    assert engine(x).tobytes() == y.tobytes()


@pytest.mark.usefixtures("variant")
def test_any_number_of_threads_gives_the_same_bits(one_thread_after):
    engine, x = Engine(network(features=64), 64, 64), pictures(1, 64, 64)
    set_threads(1)
    expected = engine(x).tobytes()
    for threads in (2, 3, 4):
        set_threads(threads)
        assert all(engine(x).tobytes() == expected for _ in range(5))


@pytest.mark.usefixtures("variant")
def test_bytes_are_255ths():
    """Every byte, in every channel, also where bytes do not lie side by side."""
    steps = np.arange(32 * 32 * 3).reshape(1, 32, 32, 3)
    shades = (steps % 256).astype(np.uint8)
    model = network().eval()
    with no_grad():
        expected = model(Tensor(shades.astype(np.float32) * np.float32(1 / 255)))[-1].data
    engine = Engine(model, 32, 32)
    assert engine(shades).tobytes() == expected.tobytes()
    assert engine(np.asfortranarray(shades)).tobytes() == expected.tobytes()


@pytest.mark.usefixtures("variant")
def test_threads_may_share_an_engine():
    engine = Engine(network(), 32, 32)
    shown = [pictures(1, 32, 32, seed=seed) for seed in range(8)]
    expected = [engine(x).tobytes() for x in shown]
    assert len(set(expected)) == len(shown)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda x: [engine(x).tobytes() for _ in range(5)], shown))
    assert found == [[each] * 5 for each in expected]


@pytest.mark.usefixtures("variant")
def test_weights_are_copied():
    model = network()
    engine, x = Engine(model, 32, 32), pictures(1, 32, 32)
    before = engine(x)
    for array in model.state_dict().values():
        array[...] = 1
    assert np.array_equal(engine(x), before)


@pytest.mark.usefixtures("variant")
def test_results_do_not_share_memory():
    engine = Engine(network(), 32, 32)
    first = engine(pictures(1, 32, 32))
    kept = first.copy()
    engine(pictures(1, 32, 32, seed=9))
    assert np.array_equal(first, kept)


@pytest.mark.usefixtures("variant")
def test_what_cannot_be_deployed_is_named():
    with pytest.raises(ValueError, match="signs are smooth"):
        Engine(network(sharpness=2.0), 32, 32)
    with pytest.raises(ValueError, match="multiples of 16, got 32 x 40"):
        Engine(network(), 32, 40)
    with pytest.raises(ValueError, match="is float64"):
        Engine(network().astype(np.float64), 32, 32)
    broken = network()
    broken.stem.modules[0].weight.data[0, 0, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"stem\.modules\.0\.weight is not finite"):
        Engine(broken, 32, 32)
    for name, sizes in {"batch": (32, 32, 0), "height": (32.0, 32), "width": (32, "32")}.items():
        with pytest.raises(ValueError, match=f"{name} must be"):
            Engine(network(), *sizes)
    engine = Engine(network(), 32, 32)
    with pytest.raises(ValueError, match="takes pictures"):
        engine(pictures(2, 32, 32))
    with pytest.raises(TypeError, match="takes an array, got Tensor: of a tensor, give its"):
        engine(Tensor(pictures(1, 32, 32)))
    with pytest.raises(FloatingPointError, match="not finite"):
        engine(np.full((1, 32, 32, 3), np.nan, dtype=np.float32))
    with pytest.raises(FloatingPointError, match="not finite"):
        engine(np.full((1, 32, 32, 3), 1e300))  # in float32, infinity
    with pytest.raises(TypeError, match=r"takes uint8 or real numbers in \[0, 1\], got int64"):
        engine(np.zeros((1, 32, 32, 3), dtype=np.int64))


@pytest.mark.usefixtures("variant")
def test_statistics_that_the_model_refuses():
    """The model meets NaN, which has no sign; a plan would compare with it, and give an answer."""
    broken = network()
    norm = broken.stem.modules[3].conv1.modules[0]
    norm.running_variance[1] = -1
    message = r"stem\.modules\.3\.conv1\.modules\.0\.running_variance holds -1, and no variance is below zero"
    with pytest.raises(ValueError, match=message):
        Engine(broken, 32, 32)
    norm.running_variance[1] = norm.eps = 0
    with pytest.raises(ValueError, match="line is not finite: its variance is too small"):
        Engine(broken, 32, 32)


class Halved(BinaryConv2d):
    """A layer of a user's own."""

    def forward(self, x):
        return super().forward(x) * 0.5


class Leaky(ReLU):
    """And another."""

    def forward(self, x):
        return x * 0.5


@pytest.mark.parametrize(
    ("path", "kind"), [("stem.modules.3.conv1.modules.1", Halved), ("stem.modules.2", Leaky), ("", None)]
)
def test_layers_that_a_plan_would_leave_out(path, kind):
    model = network()
    module = dict(model.named_modules())[path]
    module.__class__ = kind or type("Mine", (StackedHourglass,), {})
    with pytest.raises(
        ValueError, match=f"{path or 'the network'} is a {type(module).__name__}, which plans do not know"
    ):
        Engine(model, 32, 32)
