"""hbcore: landmark localization with 1-bit weights and activations, in NumPy and bits.

Read it in this order, each file stands on the ones before:

    bits         the binary contract: what a bit means, packing, products
    threads      slices of a batch side by side, same result for any number of threads
    arrays       the real-valued routines in plain NumPy
    kernels      the compiled twins of both (_kernels.pyx, csrc/) and their fallback
    autograd     Function, the graph, one walk back through it
    ops          arithmetic and activations, forward above backward
    tensor       Tensor: an array that remembers how it was computed
    gradcheck    derivatives against finite differences
    conv, norm   convolution, pooling, up-sampling; batch normalisation
    binary       sign with the straight-through estimator, the scaled binary convolution
    smooth       a sign of finite sharpness, for training that comes to bits little by little
    module, layers, blocks                 from parameters to the paper's blocks
    architecture, hourglass                what may be chosen; the paper's networks
    losses, optim, schedules               training
    introspect, serialize                  looking inside, model files
    deploy                                 a trained network as one plan
"""

from importlib.metadata import PackageNotFoundError, version

from hbcore.autograd import no_grad
from hbcore.blocks import Bottleneck, HPMBlock, Style
from hbcore.gradcheck import gradcheck
from hbcore.hourglass import Hourglass, StackedHourglass
from hbcore.introspect import summary
from hbcore.kernels import kernel_report
from hbcore.layers import BatchNorm2d, BinaryConv2d, Conv2d
from hbcore.serialize import load_model
from hbcore.tensor import Tensor, concatenate
from hbcore.threads import get_threads, set_threads

try:
    __version__ = version("hbcore")
except PackageNotFoundError:  # a checkout that was never installed
    __version__ = "0+unknown"

__all__ = [
    "BatchNorm2d",
    "BinaryConv2d",
    "Bottleneck",
    "Conv2d",
    "HPMBlock",
    "Hourglass",
    "StackedHourglass",
    "Style",
    "Tensor",
    "concatenate",
    "get_threads",
    "gradcheck",
    "kernel_report",
    "load_model",
    "no_grad",
    "set_threads",
    "summary",
]
