"""A packed network learns again from where it was packed."""

import numpy as np

from hbcore import StackedHourglass, Tensor, no_grad
from hbcore.deploy.packed_file import packed, read_packed
from hbcore.nn.layers import BatchNorm2d
from training.prediction.unpacking import give_statistics

SHAPE = {"features": 16, "joints": 3, "depth": 1}


def packed_network(rng: np.random.Generator) -> StackedHourglass:
    """One whose norms have seen something, packed and read again."""
    network = StackedHourglass(**SHAPE, seed=1)
    with no_grad():
        for _ in range(20):
            network.train()(Tensor(rng.random((4, 32, 32, 3), np.float32)))
    for norm in (module for module in network.walk() if isinstance(module, BatchNorm2d)):
        norm.gamma.data[:] = rng.uniform(0.5, 2, norm.gamma.data.shape) * rng.choice([-1, 1], norm.gamma.data.shape)
        norm.beta.data[:] = rng.normal(size=norm.beta.data.shape)
    arrays, header = packed(network.eval(), {})
    read = StackedHourglass(**SHAPE)
    read_packed(read, arrays, header["layers"])
    return read


def test_the_statistics_of_pictures_keep_the_answers_and_make_them_those_of_training() -> None:
    rng = np.random.default_rng(0)
    network = packed_network(rng)
    pictures = rng.integers(256, size=(6, 32, 32, 3), dtype=np.uint8)
    x = Tensor(pictures.astype(np.float32) / 255)
    with no_grad():
        before = network.eval()(x)[-1].data
        lost = network.train()(x)[-1].data
        network = packed_network(np.random.default_rng(0))  # whose running statistics did not follow
        give_statistics(network, [pictures[:4], pictures[4:]])
        after = network.eval()(x)[-1].data
        trained = network.train()(x)[-1].data
    scale = before.std()
    # A sign may fall on the other side where a number is its threshold, to rounding.
    assert np.abs(after - before).mean() < 0.02 * scale
    assert np.abs(trained - before).mean() < 0.02 * scale
    assert np.abs(lost - before).mean() > 0.2 * scale  # what training made of it without them


def test_norms_before_signs_have_the_size_of_new_ones() -> None:
    rng = np.random.default_rng(0)
    network = packed_network(rng)
    give_statistics(network, [rng.integers(256, size=(2, 32, 32, 3), dtype=np.uint8)])
    unit = network.heads[0].block.conv1
    np.testing.assert_allclose(np.abs(unit.modules[0].gamma.data), 1, rtol=1e-6)
