"""hbcore: landmark localization with 1-bit weights and activations, in NumPy and bits.

Read it in this order, room by room; each stands on the ones before:

    values       what arguments may be
    bits         the binary contract: what a bit means, packing, products
    threads      slices of a batch side by side, same result for any number of threads
    kernels      the loops that take the time: NumPy, and their compiled twins (_*.pyx, csrc/)
    autograd     Function, the graph, one walk back through it; Tensor; real-valued operations; gradcheck
    binary       sign with the straight-through estimator, the scaled binary convolution, a sign of finite sharpness
    nn           from parameters and layers to the paper's blocks and networks
    optim        what training adds: losses, optimizers, schedules
    deploy       model files, and a trained network as one plan
    landmarks    from a picture to an answer: crop, what maps say, trained models in three lines
    commands     what command lines do alike
    photos       photos in files, and `python -m hbcore landmarks`: needs Pillow
    inspect      looking inside: `python -m hbcore.inspect`
    export       model files in other forms: packed, or as C
    plan         what a network takes on a small device, before it is trained
"""

from hbcore.autograd.function import no_grad
from hbcore.autograd.gradcheck import gradcheck
from hbcore.autograd.tensor import Tensor, concatenate
from hbcore.deploy.model_file import load_model, save_model
from hbcore.inspect.summary import summary
from hbcore.kernels import kernel_report
from hbcore.landmarks.landmarker import Landmarker
from hbcore.nn.blocks import Bottleneck, HPMBlock, Style
from hbcore.nn.hourglass import Hourglass, StackedHourglass
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d
from hbcore.threads import get_threads, set_threads

__all__ = [
    "BatchNorm2d",
    "BinaryConv2d",
    "Bottleneck",
    "Conv2d",
    "HPMBlock",
    "Hourglass",
    "Landmarker",
    "StackedHourglass",
    "Style",
    "Tensor",
    "concatenate",
    "get_threads",
    "gradcheck",
    "kernel_report",
    "load_model",
    "no_grad",
    "save_model",
    "set_threads",
    "summary",
]


def __getattr__(name: str) -> str:
    """`__version__`, when somebody asks: looking it up takes a tenth of the time of the first answer."""
    if name != "__version__":
        raise AttributeError(f"module 'hbcore' has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hbcore")
    except PackageNotFoundError:  # a checkout that was never installed
        return "0+unknown"
