"""Calls with wrong arguments, for test_misuse.py: `python -m tests.hbcore.kernels.misuse CALLS [FIRST]`.

Every call has a seed of its own, FIRST and on: the one that ended the process is printed last, and can be made again.
What fits and what does not is drawn at random: each argument is mostly what the call wants, and now and then anything.
"""

import contextlib
import os
import sys
import warnings

import numpy as np

import hbcore
from hbcore import bits, kernels
from hbcore.autograd import conv, norm, tensor
from hbcore.binary import convolution, partial, signs, smooth, unit
from hbcore.kernels.plan import Epilogue
from hbcore.nn import layers
from hbcore.nn.module import Parameter
from hbcore.optim import losses, optimizers

FLOATS = np.float32, np.float64
OTHERS = np.float16, np.int32, np.uint8, np.uint64, np.bool_, ">f4", np.complex64, object
ODD_NUMBERS = -(2**40), -3, -1, 0, 1, 2, 3, 5, 17, 2**31, 2**40, 1.5, True, None, np.int64(1), "1"


class Draw:
    """Arguments from one generator."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.wrong = self.rng.choice([0.0, 0.05, 0.3])  # of the arguments of this call
        self.tail = np.uint64(2**64 - 1)  # bits that words may have set

    def one(self, values):
        return values[self.rng.integers(len(values))]

    def goes_wrong(self):
        return self.rng.random() < self.wrong

    def number(self, right):
        return self.one(ODD_NUMBERS) if self.goes_wrong() else right

    def channels(self, right):
        """Not fewer that fill as many words: then bits of the tail would be set, which nobody promises to look at."""
        return self.one([right + 64, 0, -1, 1.5, 2**40, None]) if self.goes_wrong() else right

    def array(self, *shape, dtype=np.float32):
        """An array of that shape and type, or one that differs in something."""
        shape, step = list(shape), 0
        if self.goes_wrong():
            way = self.rng.integers(9)
            if way == 0 and shape:
                shape[self.rng.integers(len(shape))] = self.one([0, 1, 2, 3, 63, 64, 65])
            elif way == 1:
                shape = shape[1:]
            elif way == 2:
                shape = [*shape, 1]
            elif way == 3:
                dtype = self.one(FLOATS + OTHERS)
            elif way == 4:
                return None
            else:
                step = way
        made = (self.rng.standard_normal(shape) * 3).astype(dtype)
        if dtype == np.uint64:
            made = self.rng.integers(0, 2**64 - 1, shape, dtype=np.uint64, endpoint=True) & self.tail
        if step == 5:
            made.flags.writeable = False
        elif step == 6:
            made = made[tuple(slice(None, None, self.one([1, -1])) for _ in shape)]
        elif step == 7:
            made = np.asfortranarray(np.repeat(made, 2, axis=-1))[..., ::2] if shape else made
        elif step == 8:
            memory = np.zeros(made.nbytes + 1, np.uint8)  # not aligned
            made = made.copy() if made.dtype.hasobject else memory[1:].view(made.dtype).reshape(made.shape)
        return made

    def tensor(self, *shape):
        array = self.array(*shape, dtype=self.one(FLOATS) if self.goes_wrong() else np.float32)
        return hbcore.Tensor(array, requires_grad=True)


class Sizes:
    """Of a convolution and whatever stands beside it."""

    def __init__(self, d):
        self.n, self.h, self.w = d.one([1, 2, 3]), 2 * d.one([1, 2, 3, 4]), 2 * d.one([1, 2, 3, 4])
        self.c, self.o, self.k = d.one([1, 3, 8, 33, 64, 65]), d.one([1, 3, 8, 32, 40, 64]), d.one([1, 2, 3])
        self.stride, self.padding = d.one([1, 1, 1, 2]), d.one([0, 1, self.k // 2, self.k])
        self.oh, self.ow = ((s + 2 * self.padding - self.k) // self.stride + 1 for s in (self.h, self.w))
        d.tail = np.uint64(2 ** (self.c % 64 or 64) - 1)
        self.words, self.m = bits.word_count(self.c), self.n * self.h * self.w
        self.x, self.filters = (self.n, self.h, self.w, self.c), (self.k, self.k, self.c, self.o)
        self.y, self.half = (self.n, self.oh, self.ow, self.o), (self.n, self.h // 2, self.w // 2, self.c)
        self.packed, self.packed_filters = (*self.x[:3], self.words), (self.k, self.k, self.words, self.o)
        self.twice = self.n, 2 * self.h, 2 * self.w, self.c


def table(d, s):
    """Every operation of the backend."""
    k, a, u = kernels.backend, d.array, np.uint64
    pads = d.number(s.padding), d.number(s.padding)
    return {
        "sign": lambda: k.sign(a(*s.x)),
        "sign_backward": lambda: k.sign_backward(a(*s.x), a(*s.x)),
        "pack_signs": lambda: k.pack_signs(a(*s.x)),
        "pack_filters": lambda: k.pack_filters(a(*s.filters)),
        "binary_conv2d": lambda: k.binary_conv2d(
            a(*s.packed, dtype=u), a(*s.packed_filters, dtype=u), d.channels(s.c), d.number(s.stride), pads[0]
        ),
        "scaled_binary_conv2d": lambda: k.scaled_binary_conv2d(
            a(*s.packed, dtype=u), a(*s.packed_filters, dtype=u), a(s.o), d.channels(s.c), d.number(s.stride), pads[0]
        ),
        "norm_sign": lambda: k.norm_sign(a(*s.x), a(s.c), a(s.c)),
        "sign_gradient": lambda: k.sign_gradient(
            a(s.n, s.h, s.w, s.o), a(*s.filters), a(s.o), pads[0], d.one(kernels.GRADIENTS)
        ),
        "filter_gradient": lambda: k.filter_gradient(
            a(*s.packed, dtype=u), a(*s.y), s.filters, pads[0], d.one(kernels.GRADIENTS)
        ),
        "mean_magnitude": lambda: k.mean_magnitude(a(*s.filters)),
        "latent_gradient": lambda: k.latent_gradient(a(*s.filters), a(*s.filters), a(s.o)),
        "batch_statistics": lambda: k.batch_statistics(a(*s.x)),
        "centred_sums": lambda: k.centred_sums(a(s.m, s.c), a(s.c)),
        "affine": lambda: k.affine(a(*s.x), a(s.c), a(s.c)),
        "norm_sums": lambda: k.norm_sums(
            a(*s.x), a(*s.x), a(s.c), a(*s.packed, dtype=u) if d.rng.random() < 0.5 else None
        ),
        "norm_backward": lambda: k.norm_backward(
            a(*s.x), a(*s.x), a(s.c), a(s.c), a(s.c), a(*s.packed, dtype=u) if d.rng.random() < 0.5 else None
        ),
        "norm_smooth": lambda: k.norm_smooth(a(*s.x), a(s.c), a(s.c), 2.0),
        "smooth_backward": lambda: k.smooth_backward(a(*s.x), a(*s.x), 2.0),
        "sign_conv2d": lambda: k.sign_conv2d(a(*s.packed, dtype=u), a(*s.filters), pads[0]),
        "prelu": lambda: k.prelu(a(*s.x), a(s.c)),
        "prelu_backward": lambda: k.prelu_backward(a(*s.x), a(s.c), a(*s.x)),
        "max_pool": lambda: k.max_pool(a(*s.x), d.number(2)),
        "max_pool_backward": lambda: k.max_pool_backward(a(*s.x), a(*s.x, dtype=np.uint8), d.number(2)),
        "weighted": lambda: k.weighted(
            a(s.h, s.w, 3, dtype=np.uint8), d.rng.integers(0, 3, 4), a(4, s.k, dtype=np.int32), d.one([False, True])
        ),
        "add": lambda: k.add(a(s.n, 64, 64, 64), a(s.n, 64, 64, 64), a(s.n, 64, 64, 64)),
        "join": lambda: k.join(a(*s.x[:3], 2 * s.c), (a(*s.x), a(*s.x))),
        "rectify": lambda: k.rectify(a(*s.x)),
        "where_above": lambda: k.where_above(a(*s.x), a(*s.x)),
        "upsample": lambda: k.upsample(a(*s.x), d.number(2)),
        "sum_pool": lambda: k.sum_pool(a(*s.x), d.number(2)),
        "adam": lambda: k.adam(a(s.c, s.o), a(s.c, s.o), a(s.c, s.o), a(s.c, s.o), (0.9, 0.99), 0.1, 0.1, 1e-8),
        "rmsprop": lambda: k.rmsprop(a(s.c, s.o), a(s.c, s.o), a(s.c, s.o), 0.9, 0.1, 1e-8),
        "im2col": lambda: k.im2col(a(*s.x), (s.k, d.number(s.k)), d.number(s.stride), pads),
        "warp": lambda: k.warp(*warp_arguments(d, s)),
        "conv2d": lambda: k.conv2d(a(*s.x), a(*s.filters), d.number(s.stride), pads),
        "conv2d_input_gradient": lambda: k.conv2d_input_gradient(a(*s.y), a(*s.filters), s.x, d.number(s.stride), pads),
        "conv2d_weight_gradient": lambda: k.conv2d_weight_gradient(
            a(*s.x), a(*s.y), s.filters, d.number(s.stride), pads
        ),
    }


def warp_arguments(d, s):
    """A picture, a matrix, levels, and what is to be filled."""
    matrix = d.array(2, 3, dtype=np.float64)
    return (
        d.array(s.h, s.w, 3, dtype=np.uint8),
        matrix,
        d.array(3, 256, dtype=np.uint8),
        d.array(s.w, s.h, 3, dtype=np.uint8),
    )


def entries(d, s):
    """Every compiled entry itself."""
    from hbcore import _kernels as p
    from hbcore import _pictures as r
    from hbcore import _wide as q

    a, u, f = d.array, np.uint64, np.float64
    real = d.one(FLOATS)
    c, g, h = d.number(s.c), d.number(s.stride), d.number(s.padding)
    alpha = a((s.o + 31) // 32 * 32)
    rows, packed_rows = (s.m, s.c), (s.m, s.words)
    back = s.k - 1 - s.padding
    g1 = s.n, s.h + 2 * s.padding - s.k + 1, s.w + 2 * s.padding - s.k + 1, s.o  # of stride 1
    plain = {
        "sign": (a(s.m, dtype=real), a(s.m, dtype=real)),
        "sign_backward": (a(s.m, dtype=real), a(s.m, dtype=real), a(s.m, dtype=real)),
        "pack_signs": (a(*rows, dtype=real), a(*packed_rows, dtype=u)),
        "binary_conv2d": (a(*s.packed, dtype=u), a(*s.packed_filters, dtype=u), c, g, h, a(*s.y, dtype=np.int32)),
        "pack_columns": (a(s.k * s.k, s.c, s.o, dtype=real), a(s.k * s.k, s.words, s.o, dtype=u)),
        "im2col": (a(*s.x), d.number(s.k), s.k, g, h, s.padding, a(s.n, s.oh, s.ow, s.k * s.k * s.c)),
        "centred_sums": (a(*rows, dtype=real), a(s.c, dtype=real), a(s.c, dtype=f), a(s.c, dtype=f)),
        "affine": (a(*rows), a(s.c), a(s.c), a(*rows)),
        "norm_sums": (a(*rows), a(*rows), a(s.c), a(s.c, dtype=f), a(s.c, dtype=f)),
        "norm_backward": (a(*rows), a(*rows), a(s.c), a(s.c), a(s.c), a(*rows)),
        "max_pool": (a(*s.x), d.number(2), a(*s.half), a(*s.half, dtype=np.uint8)),
        "max_pool_backward": (a(*s.half), a(*s.half, dtype=np.uint8), d.number(2), a(*s.x)),
        "mean_magnitude": (a(*rows), a(s.c)),
        "latent_gradient": (a(*rows), a(*rows), a(s.c)),
        "adam": (a(s.m), a(s.m), a(s.m), a(s.m), 0.9, 0.99, 0.1, 0.1, 1e-8),
        "rmsprop": (a(s.m), a(s.m), a(s.m), 0.9, 0.1, 1e-8),
    }
    numbers, signs_ = (a(*s.x), None) if d.rng.random() < 0.5 else (None, a(*s.packed, dtype=u))
    inside = a(*packed_rows, dtype=u) if d.rng.random() < 0.5 else None
    wide = {
        "conv2d": (numbers, signs_, a(*s.filters), g, h, s.padding, a(*s.y)),
        "weight_gradient": (numbers, signs_, c, a(*s.y), g, h, s.padding, a(*s.filters)),
        "binary_conv2d": (a(*s.packed, dtype=u), a(*s.packed_filters, dtype=u), c, alpha, g, h, a(*s.y)),
        "in_rows": (a(*s.x),),
        "sign_gradient": (a(*g1), a(*s.filters), alpha, d.number(back), back, a(*s.x)),
        "filter_gradient": (a(*s.packed, dtype=u), a(*g1), h, s.padding, a(*s.filters)),
        "unit_forward": (a(*s.x), a(s.c), a(s.c), a(*s.filters), 1e-5, h),
        "unit_backward": (
            a(*s.x), a(s.c), a(*s.filters), h, a(*s.packed, dtype=u), a(*s.packed, dtype=u), alpha, a(3, s.c), a(*g1),
            a(*s.x) if d.rng.random() < 0.5 else None),
        "centred_sums": (a(*rows), a(s.c), a(s.c, dtype=f), a(s.c, dtype=f)),
        "norm_sign": (a(*rows), a(s.c), a(s.c), a(*packed_rows, dtype=u), a(*packed_rows, dtype=u)),
        "norm_sums": (a(*rows), a(*rows), inside, a(s.c), a(s.c, dtype=f), a(s.c, dtype=f)),
        "norm_backward": (a(*rows), a(*rows), inside, a(s.c), a(s.c), a(s.c), a(*rows)),
        "norm_smooth": (a(*rows), a(s.c), a(s.c), 2.0, a(*rows)),
        "smooth_backward": (a(*rows), a(*rows), 2.0),
        "prelu": (a(*rows), a(s.c), a(*rows)),
        "prelu_backward": (a(*s.x), a(s.c), a(*s.x), a(*s.x), a(s.c, dtype=f)),
        "max_pool": (a(*s.x), a(*s.half), a(*s.half, dtype=np.uint8)),
        "max_pool_backward": (a(*s.half), a(*s.half, dtype=np.uint8), a(*s.x)),
        "join": (a(*s.x), (a(*s.x),) * d.one([1, 1, 1, 2, 17]), a(*s.x)),
        "affine": (a(*s.x), a(s.c), a(s.c), a(*s.x)),
        "rectify": (a(*s.x), a(*s.x)),
        "where_above": (a(*s.x), a(*s.x), a(*s.x)),
        "upsample": (a(*s.x), a(*s.twice)),
        "sum_pool": (a(*s.x), a(*s.half)),
    }  # fmt: skip
    pictures = {
        "warp": warp_arguments(d, s),
        "weighted": (
            a(s.h, s.w, 3, dtype=np.uint8),
            a(4, dtype=np.int64),
            a(4, s.k, dtype=np.int32),
            d.one([False, True]),
            a(4, s.w, 3, dtype=np.uint8),
        ),
    }
    offered = (p, plain), (q, wide), (r, pictures)
    return {
        f"{door.__name__}.{name}": (lambda door=door, n=name, v=v: getattr(door, n)(*v))
        for door, calls in offered
        for name, v in calls.items()
    }


def plan(d, s):
    """Steps of a plan, which then runs whatever was accepted."""
    a, u = d.array, np.uint64
    owords = bits.word_count(s.o)

    def maybe(*shape, dtype=np.float32):
        return a(*shape, dtype=dtype) if d.rng.random() < 0.3 else None

    def end(with_bits):
        made = with_bits and d.rng.random() < 0.5
        return Epilogue(
            y=a(*s.y), alpha=maybe(s.o), bias=maybe(s.o), relu=d.rng.random() < 0.5, slope=maybe(s.o), scale=maybe(s.o),
            shift=a(s.o), bits=a(*s.y[:3], owords, dtype=u) if made else maybe(1, dtype=u) if d.goes_wrong() else None,
            threshold=a(s.o), flip=a(owords, dtype=u), skip=maybe(*s.y),
        )  # fmt: skip

    def work():
        steps = kernels.backend.new_plan()
        calls = {
            "conv2d": lambda: (a(*s.x), a(*s.filters), d.number(s.stride), d.number(s.padding), end(d.goes_wrong())),
            "binary_conv2d": lambda: (
                a(*s.packed, dtype=u), a(*s.packed_filters, dtype=u), d.number(s.c), d.number(s.stride),
                d.number(s.padding), end(True)),
            "threshold": lambda: (a(*s.x), a(s.c), a(s.words, dtype=u), a(*s.packed, dtype=u)),
            "max_pool": lambda: (a(*s.x), a(*s.half)),
            "upsample_add": lambda: (a(*s.x), a(*s.twice)),
            "line": lambda: (a(*s.x), a(s.c), a(s.c), d.one([True, False]), a(*s.x)),
            "add": lambda: (a(*s.x), a(*s.x), a(*s.x)),
            "copy": lambda: (a(*s.x), a(*s.x)),
            "avg_pool": lambda: (a(*s.x), a(*s.half)),
            "upsample": lambda: (a(*s.x), a(*s.twice)),
        }  # fmt: skip
        for _ in range(3):
            with contextlib.suppress(Exception):
                name = d.one(list(calls))
                getattr(steps, name)(*calls[name]())
        steps.run()

    return {"plan": work}


def back(d, result):
    """What a layer gives, and the way back through it."""
    for y in result if isinstance(result, tuple | list) else [result]:
        if isinstance(y, hbcore.Tensor) and y.function is not None:
            y.backward(d.array(*y.shape))
            return


def library(d, s):
    """Layers, functions, losses and optimizers, forward and back."""
    t, n, rng = d.tensor, d.number, np.random.default_rng(0)
    channels = d.one([0, 1, 4, 64, 70]) if d.goes_wrong() else s.c

    def layer(make, *shape):
        def call():
            module = make()
            module.train(d.rng.random() < 0.7)
            x = t(*shape)
            if d.rng.random() < 0.3:
                with hbcore.no_grad():
                    module(x)
            back(d, module(x))

        return call

    def fused():
        block = hbcore.nn.blocks.Unit(s.c, s.o, s.k, hbcore.Style(rng=rng))
        block.modules[1].padding, block.modules[1].gradients = n(s.padding), d.one(kernels.GRADIENTS)
        return block

    def packed():
        return layers.use_packed(layers.BinaryConv2d(s.c, s.o, s.k, rng, n(s.stride), n(s.padding)))

    def optimize():
        w = Parameter(np.zeros((s.c, s.o), np.float32))
        optimizer = optimizers.OPTIMIZERS[d.one(list(optimizers.OPTIMIZERS))]({"w": w}, 0.1, d.one([0.0, 0.1]))
        optimizer.state = {name: d.array(s.c, s.o) for name in optimizer.state}
        w.grad = d.array(s.c, s.o)
        optimizer.step()

    return {
        "Conv2d": layer(lambda: layers.Conv2d(s.c, s.o, s.k, rng, n(s.stride), n(s.padding)), *s.x),
        "BinaryConv2d": layer(lambda: layers.BinaryConv2d(s.c, s.o, s.k, rng, n(s.stride), n(s.padding)), *s.x),
        "packed": layer(packed, *s.x),
        "Unit": layer(fused, *s.x),
        "BatchNorm2d": layer(lambda: layers.BatchNorm2d(channels), *s.x),
        "MaxPool2d": layer(lambda: layers.MaxPool2d(n(2)), *s.x),
        "AvgPool2d": layer(lambda: layers.AvgPool2d(n(2)), *s.x),
        "Upsample": layer(lambda: layers.Upsample(d.one([0, 1, 2, 3, -1])), *s.x),
        "PReLU": layer(lambda: layers.PReLU(channels), *s.x),
        "HPMBlock": layer(lambda: hbcore.HPMBlock(s.c, 32, hbcore.Style(rng=rng)), *s.x),
        "Bottleneck": layer(lambda: hbcore.Bottleneck(s.c, 8, hbcore.Style(rng=rng)), *s.x),
        "conv2d": lambda: back(d, conv.conv2d(t(*s.x), t(*s.filters), t(s.o), n(s.stride), n(s.padding))),
        "binary_conv2d": lambda: back(
            d, convolution.binary_conv2d(t(*s.x), t(*s.filters), n(s.stride), n(s.padding), d.one([True, False]))
        ),
        "binary_unit": lambda: back(
            d, unit.binary_unit(t(*s.x), t(s.c), t(s.c), t(*s.filters), 1e-5, n(s.padding), d.one(kernels.GRADIENTS))
        ),
        "partial_unit": lambda: back(
            d,
            partial.partial_unit(
                t(*s.x),
                t(s.c),
                t(s.c),
                t(*s.filters),
                1e-5,
                n(s.padding),
                d.one(kernels.GRADIENTS),
                *d.one([(2.0, False), (2.0, True), (None, True)]),
            ),
        ),
        "batch_norm": lambda: back(d, norm.batch_norm(t(*s.x), t(s.c), t(s.c))),
        "fixed_norm": lambda: back(d, norm.fixed_norm(t(*s.x), t(s.c), t(s.c), d.array(s.c), d.array(s.c))),
        "sign": lambda: back(d, signs.sign(t(*s.x))),
        "smooth_sign": lambda: back(d, smooth.smooth_sign(t(*s.x), n(2))),
        "pools": lambda: back(d, d.one([conv.max_pool2d, conv.avg_pool2d])(t(*s.x), n(2))),
        "concatenate": lambda: back(d, tensor.concatenate([t(*s.x), t(*s.x)])),
        "join": lambda: back(d, tensor.join([t(*s.x), t(*s.x)], t(*s.x[:3], 2 * s.c))),
        "arithmetic": lambda: back(d, (t(*s.x) + t(*s.x)) * t(*s.x) - t(s.c)),
        "matmul": lambda: back(d, t(s.c, s.o) @ t(s.o, s.c)),
        "cross_entropy": lambda: back(d, losses.heatmap_cross_entropy(t(*s.x), d.array(*s.x), d.array(s.n, s.c))),
        "mse": lambda: back(d, losses.heatmap_mse(t(*s.x), d.array(*s.x), d.array(s.n, s.c))),
        "softmax": lambda: back(d, losses.softmax_cross_entropy(t(*s.x), d.array(*s.x[:3], dtype=np.int32))),
        "optimizer": optimize,
    }


def arrays(result):
    """What an operation returned, as arrays that stay."""
    return [np.array(each) for each in (result if isinstance(result, tuple) else [result]) if each is not None]


def require_same(result, seed):
    """The reference, if it takes these arguments, gives the same: equal bits, reals to rounding or a step of bytes."""
    chosen, kernels.backend = kernels.backend, kernels.Reference()
    try:
        d = Draw(seed)
        offered = table(d, Sizes(d))
        expected = arrays(offered[d.one(list(offered))]())
    except Exception:
        return
    finally:
        kernels.backend = chosen
    for got, wanted in zip(result, expected, strict=True):
        assert got.shape == wanted.shape, (got.shape, wanted.shape)
        real = wanted.dtype.kind == "f"
        scale = np.nanmax(np.abs(wanted), initial=1) if real else 0
        same = np.allclose(got, wanted, 1e-3, 2e-2 * scale, equal_nan=True) if real else np.array_equal(got, wanted)
        assert same, "another result than the reference's"


def limit_memory(size=4 << 30):
    """What is too large is a MemoryError: without a limit the system grants it and kills whoever touches it.

    Not under AddressSanitizer, whose own map takes terabytes of addresses.
    """
    if os.name != "nt" and "asan" not in os.environ.get("LD_PRELOAD", ""):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def main(calls, first=0):
    limit_memory()
    parts = [table, library, plan] + ([entries] if kernels.backend.name not in ("numpy",) else [])
    refused = 0
    warnings.simplefilter("ignore")
    for seed in range(first, first + calls):
        d = Draw(seed)
        hbcore.set_threads(1 + seed // 500 % 2)
        try:
            part = parts[seed % len(parts)]
            offered = part(d, Sizes(d))
            name = d.one(list(offered))
            print(seed, name, flush=True)
            with np.errstate(all="ignore"):
                result = offered[name]()
        except Exception:  # any exception of Python will do; a signal does not come here
            refused += 1
            continue
        if part is table:
            with np.errstate(all="ignore"):
                require_same(arrays(result), seed)
    print(f"{refused} of {calls} refused")
    assert 0.05 * calls < refused < 0.8 * calls, "nearly all or nearly nothing is wrong: the calls are badly drawn"


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
