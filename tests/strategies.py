"""What tests share: hypothesis strategies, and oracles that are slow and obvious."""

import numpy as np
from hypothesis import strategies as st

from hbcore import Tensor
from hbcore.autograd.gradcheck import gradcheck

REAL_TYPES = (np.float32, np.float64)

# Where packing can go wrong: one bit, a word less one, a word, a word and one, and several words.
CHANNELS = st.one_of(st.integers(1, 9), st.sampled_from([31, 32, 33, 63, 64, 65, 127, 128, 129, 130]))

FD_STEP = 1e-6
FD_TOLERANCE = 1e-6  # truncation ~ step^2 = 1e-12 and rounding ~ 1e-16 / step = 1e-10, times sums of some hundred terms


@st.composite
def convolutions(draw, max_size=7, max_kernel=7, max_stride=3, max_padding=3, channels=CHANNELS):
    """(x shape, w shape, stride, padding) of a convolution that has at least one output pixel."""
    stride, padding = draw(st.integers(1, max_stride)), draw(st.integers(0, max_padding))
    height, width = draw(st.integers(1, max_size)), draw(st.integers(1, max_size))
    kernel_h = draw(st.integers(1, min(max_kernel, height + 2 * padding)))
    kernel_w = draw(st.integers(1, min(max_kernel, width + 2 * padding)))
    batch, count, filters = draw(st.integers(1, 3)), draw(channels), draw(st.integers(1, 5))
    return (batch, height, width, count), (kernel_h, kernel_w, count, filters), stride, padding


def naive_conv2d(x, w, stride, padding):
    """Convolution pixel by pixel over a picture with true zeros around it: x (N, H, W, C), w (kH, kW, C, O)."""
    kernel_h, kernel_w = w.shape[:2]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    out_h = (padded.shape[1] - kernel_h) // stride + 1
    out_w = (padded.shape[2] - kernel_w) // stride + 1
    out = np.zeros((len(x), out_h, out_w, w.shape[3]), dtype=np.result_type(x, w))
    for oy in range(out_h):
        for ox in range(out_w):
            window = padded[:, oy * stride : oy * stride + kernel_h, ox * stride : ox * stride + kernel_w]
            out[:, oy, ox] = np.einsum("nijc,ijco->no", window, w)
    return out


def naive_conv2d_backward(x, w, g, stride, padding):
    """(dL/dx, dL/dw) of :func:`naive_conv2d` for g = dL/dy, by the chain rule pixel by pixel."""
    kernel_h, kernel_w = w.shape[:2]
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    dx, dw = np.zeros_like(padded), np.zeros_like(w)
    for oy in range(g.shape[1]):
        for ox in range(g.shape[2]):
            rows, columns = slice(oy * stride, oy * stride + kernel_h), slice(ox * stride, ox * stride + kernel_w)
            dx[:, rows, columns] += np.einsum("no,ijco->nijc", g[:, oy, ox], w)
            dw += np.einsum("nijc,no->ijco", padded[:, rows, columns], g[:, oy, ox])
    return dx[:, padding : padding + x.shape[1], padding : padding + x.shape[2]], dw


def check_derivatives(f, *inputs):
    """Compare backward with central differences in every single element, then along gradcheck's random direction.

    f takes as many tensors as there are inputs (small float64 arrays). The element-wise part does not trust gradcheck.
    """
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    y = f(*leaves)
    u = np.random.default_rng(99).standard_normal(y.shape)
    y.backward(u)
    for position, leaf in enumerate(leaves):
        measured = np.zeros_like(leaf.data)
        for index in np.ndindex(leaf.shape):
            ends = []
            for step in (FD_STEP, -FD_STEP):
                moved = [x.copy() for x in inputs]
                moved[position][index] += step
                ends.append(np.sum(u * f(*map(Tensor, moved)).data))
            measured[index] = (ends[0] - ends[1]) / (2 * FD_STEP)
        assert leaf.grad.shape == leaf.shape
        assert leaf.grad.dtype == leaf.data.dtype
        error = np.abs(leaf.grad - measured).max(initial=0)
        assert error <= FD_TOLERANCE * max(1, np.abs(measured).max(initial=0)), f"input {position}"
    gradcheck(f, *inputs)
