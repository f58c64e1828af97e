"""Whole networks against PyTorch in float64: forward, gradients, and weights after optimizer steps.

float64 on both sides keeps rounding near 1e-15, so that no sign flips by rounding and a real difference shows.
"""

import numpy as np
import pytest

import hbcore
from hbcore.optim.losses import IGNORED, heatmap_cross_entropy, heatmap_mse, softmax_cross_entropy
from hbcore.optim.optimizers import SGD, Adam, RMSprop
from tests.torch_threads import one_torch_thread

torch = pytest.importorskip("torch", reason="PyTorch is the parity oracle: pip install 'hbcore[parity]'")
F = torch.nn.functional

RELATIVE = 1e-9  # float64 rounding, accumulated over some 60 layers and three steps, stays orders of magnitude below


@pytest.fixture(autouse=True)
def quick():
    with one_torch_thread(torch):
        yield


class SignSTE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x < 0, -1.0, 1.0).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (x.abs() < 1)


REAL_PARTS = {"real_lin": ".lin.", "real_skip": ".skip"}  # and how the names of their units tell them


class ScaledBinaryConv(torch.autograd.Function):
    """alpha (S * sign(W)), W (O, I, kH, kW), with XNOR-Net's gradient.

    Scaled after the convolution: then equal sums are equal to the bit, and the max-pooling behind meets the same ties.
    """

    @staticmethod
    def forward(ctx, s, w, stride, scaled):
        alpha = w.abs().mean(dim=(1, 2, 3)) if scaled else torch.ones(len(w), dtype=w.dtype)
        signs = torch.where(w < 0, -1.0, 1.0).to(w.dtype)
        ctx.save_for_backward(s, w, alpha, signs)
        ctx.geometry, ctx.scaled = {"stride": stride, "padding": w.shape[2] // 2}, scaled
        return F.conv2d(s, signs, **ctx.geometry) * alpha[:, None, None]

    @staticmethod
    def backward(ctx, g):
        s, w, alpha, signs = ctx.saved_tensors
        alpha = alpha[:, None, None, None]
        ds = torch.nn.grad.conv2d_input(s.shape, alpha * signs, g, **ctx.geometry)
        dw = torch.nn.grad.conv2d_weight(s, w.shape, g, **ctx.geometry)
        return ds, dw * (ctx.scaled / w[0].numel() + alpha * (w.abs() < 1)), None, None


class TorchHourglass:
    """The network of `StackedHourglass`, spelled out on the same named weights, channels first."""

    def __init__(self, model):
        self.a = model.architecture
        self.p = {}
        for name, array in model.state_dict().items():
            value = torch.tensor(array)
            if value.ndim == 4:
                value = value.permute(3, 2, 0, 1).contiguous()  # (kH, kW, C, O) -> (O, C, kH, kW)
            self.p[name] = value
        for name, _ in model.named_parameters():
            self.p[name].requires_grad_()
        self.trainable = [name for name, _ in model.named_parameters()]

    def bn(self, x, name):
        p = self.p
        mean, var = p[f"{name}.running_mean"], p[f"{name}.running_variance"]
        return F.batch_norm(x, mean, var, p[f"{name}.gamma"], p[f"{name}.beta"], training=True, momentum=0.1)

    def conv(self, x, name, stride=1):
        w = self.p[f"{name}.weight"]
        return F.conv2d(x, w, self.p.get(f"{name}.bias"), stride=stride, padding=w.shape[2] // 2)

    def unit(self, x, name, stride=1, end=False):
        x = self.bn(x, f"{name}.modules.0")
        real = any(self.a.get(choice) and part in name for choice, part in REAL_PARTS.items())
        if real or not self.a["binary"]:
            return self.conv(torch.relu(x), f"{name}.modules.2")
        conv = f"{name}.modules.1"
        if self.a["binarize"] == "weights":
            conv, x = f"{name}.modules.2", torch.relu(x)
        elif self.a["sharpness"]:
            x = torch.tanh(x * self.a["sharpness"] / 2)
        else:
            x = SignSTE.apply(x)
        if self.a["binarize"] == "activations":
            y = self.conv(x, conv, stride)
        else:
            y = ScaledBinaryConv.apply(x, self.p[f"{conv}.weight"], stride, self.a["scale"])
            if f"{conv}.bias" in self.p:
                y = y + self.p[f"{conv}.bias"][:, None, None]
        if self.a["activation"] == "relu" and not end:
            y = torch.relu(y)
        if self.a["activation"] == "prelu" and not end:
            y = F.prelu(y, self.p[f"{name}.modules.2.slope"])
        return y

    def has(self, name):
        return any(known.startswith(f"{name}.") for known in self.p)

    def pool(self, x):
        return (F.max_pool2d if self.a["pool"] == "max" else F.avg_pool2d)(x, 2)

    def chain(self, x, *names):
        for name in names:
            x = self.unit(x, name)
        return x

    def block(self, x, name):
        skip = self.unit(x, f"{name}.skip") if self.has(f"{name}.skip") else x
        if self.a["block"].startswith("multiscale"):
            left = [f"{name}.left.modules.{i}" for i in (0, 1) if self.has(f"{name}.left.modules.{i}")]
            pooled = F.interpolate(self.pool(x), scale_factor=2, mode="nearest")
            large = self.chain(pooled, f"{name}.large.modules.0", f"{name}.large.modules.1")
            y = torch.cat([self.chain(x, *left), self.unit(pooled, f"{name}.small"), large], 1)
            return (self.unit(y, f"{name}.expand") if self.has(f"{name}.expand") else y) + skip
        if self.a["block"] != "hpm":
            return self.chain(x, f"{name}.reduce", f"{name}.spatial", f"{name}.expand") + skip
        results = []
        for path in (name, *(f"{name}.others.{i}" for i in range(self.a["cardinality"] - 1))):
            y = x
            for layer in range(self.a["layers"]):
                y = self.unit(y, f"{path}.conv{layer + 1}")
                results.append(y)
        return torch.cat(results, 1) + skip

    def hourglass(self, x, name, depth):
        improved = self.a["hourglass"] == "improved"
        up1 = x if improved else self.block(x, f"{name}.up1")
        low = self.block(self.pool(x), f"{name}.low1")
        low = self.hourglass(low, f"{name}.low2", depth - 1) if depth > 1 else self.block(low, f"{name}.low2")
        low = F.interpolate(self.block(low, f"{name}.low3"), scale_factor=2, mode="nearest")
        return torch.cat([up1, low], 1) if improved else up1 + low

    def end(self, x, name, stride=1):
        if f"{name}.modules.0.gamma" in self.p:
            return self.unit(x, name, stride, end=True)
        return self.conv(x, name, stride)

    def __call__(self, x):
        x = torch.relu(self.bn(self.end(x, "stem.modules.0", 2), "stem.modules.1"))
        x = self.pool(self.block(x, "stem.modules.3"))
        x = self.block(self.block(x, "stem.modules.5"), "stem.modules.6")
        results = []
        for i in range(self.a["stacks"]):
            y = self.hourglass(x, f"hourglasses.{i}", self.a["depth"])
            y = self.unit(self.block(y, f"heads.{i}.block"), f"heads.{i}.lin.modules.0")
            lin = torch.relu(self.bn(y, f"heads.{i}.lin.modules.1"))
            results.append(self.end(lin, f"heads.{i}.heatmaps"))
            if i + 1 < self.a["stacks"]:
                x = x + self.unit(lin, f"merge_features.{i}") + self.end(results[-1], f"merge_heatmaps.{i}")
        return results


def channels_first(array):
    return array.transpose(3, 2, 0, 1) if array.ndim == 4 else array


def relative_error(ours, theirs):
    return float(np.abs(ours - theirs).max() / max(np.abs(theirs).max(), 1e-300))


CASES = {
    "binary HPM": {"binary": True},
    "real HPM": {"binary": False},
    "binary bottleneck, ReLU": {"block": "bottleneck", "activation": "relu"},
    "real bottleneck": {"block": "bottleneck", "binary": False},
    "binary HPM, PReLU, two stacks": {"activation": "prelu", "stacks": 2},
}


VARIANTS = {
    "wider": {"block": "wider"},
    "bottleneck without 1x1": {"block": "bottleneck_no1x1", "scale": False},
    "multi-scale, average pooling": {"block": "multiscale", "pool": "avg"},
    "multi-scale without 1x1, ReLU": {"block": "multiscale_no1x1", "activation": "relu"},
    "real multi-scale": {"block": "multiscale", "binary": False},
    "four layers, two paths": {"layers": 4, "cardinality": 2, "features": 32},
    "improved, two stacks, average pooling": {"hourglass": "improved", "stacks": 2, "pool": "avg"},
    "binary ends, two stacks, PReLU": {"binary_ends": True, "stacks": 2, "activation": "prelu"},
    "binary weights": {"binarize": "weights", "activation": "relu"},
    "binary activations": {"binarize": "activations"},
    "wide stem, real lin, two stacks": {"stem": 16, "real_lin": True, "stacks": 2, "activation": "prelu"},
    "real skips, improved": {"stem": 8, "real_skip": True, "hourglass": "improved", "activation": "relu"},
    "smooth": {"sharpness": 3.0, "binary_ends": True},
}
RUNS = [(options, optimizer) for options in CASES.values() for optimizer in ("rmsprop", "adam", "sgd")]
RUNS += [(options, "sgd") for options in VARIANTS.values()]
NAMES = [f"{name}, {optimizer}" for name in CASES for optimizer in ("rmsprop", "adam", "sgd")] + list(VARIANTS)


@pytest.mark.parametrize(("options", "optimizer"), RUNS, ids=NAMES)
def test_three_training_steps(options, optimizer):
    model = hbcore.StackedHourglass(
        **{"features": 16, "joints": 5, "depth": 2, "seed": 3, "clamp_weights": False} | options
    )
    model.astype(np.float64)
    rng = np.random.default_rng(7)
    for name, parameter in model.named_parameters():
        # As in a trained network. At beta = 0 the threshold is the mean, which integers of a small map hit exactly:
        # then rounding alone would decide the sign.
        if name.endswith(("gamma", "beta")):
            parameter.data += 0.3 * rng.standard_normal(parameter.shape)
    twin = TorchHourglass(model)
    lr = 0.01
    if optimizer == "rmsprop":
        ours = RMSprop(dict(model.named_parameters()), lr)
        theirs = torch.optim.RMSprop([twin.p[n] for n in twin.trainable], lr, alpha=0.99, eps=1e-8)
    elif optimizer == "adam":
        ours = Adam(dict(model.named_parameters()), lr)
        theirs = torch.optim.Adam([twin.p[n] for n in twin.trainable], lr, eps=1e-8)
    else:
        ours = SGD(dict(model.named_parameters()), lr, weight_decay=1e-3)
        theirs = torch.optim.SGD([twin.p[n] for n in twin.trainable], lr, momentum=0.9, weight_decay=1e-3)
    for _ in range(3):
        picture = rng.random((2, 32, 32, 3))
        target, weight = rng.random((2, 8, 8, 5)), np.array([[1, 1, 0, 1, 1], [1, 0, 1, 1, 1.0]])
        predictions = model(hbcore.Tensor(picture))
        expected = twin(torch.tensor(picture).permute(0, 3, 1, 2))
        for ours_y, theirs_y in zip(predictions, expected, strict=True):
            theirs_y = theirs_y.detach().permute(0, 2, 3, 1).numpy()
            assert relative_error(ours_y.data, theirs_y) < RELATIVE

        loss = heatmap_cross_entropy(predictions[0], target, weight)
        for prediction in predictions[1:]:
            loss = loss + heatmap_cross_entropy(prediction, target, weight)
        t = torch.tensor(target).permute(0, 3, 1, 2)
        maps = torch.tensor(weight)[:, :, None, None]
        theirs_loss = sum(
            (F.binary_cross_entropy_with_logits(y, t, reduction="none") * maps).sum() / weight.sum() for y in expected
        )
        assert abs(loss.item() - theirs_loss.item()) < RELATIVE * abs(theirs_loss.item())

        model.zero_grad()
        loss.backward()
        theirs.zero_grad()
        theirs_loss.backward()
        scale = max(float(twin.p[name].grad.abs().max()) for name in twin.trainable)
        for name, parameter in model.named_parameters():
            difference = np.abs(channels_first(parameter.grad) - twin.p[name].grad.numpy()).max()
            assert difference < RELATIVE * scale, name
        ours.step()
        theirs.step()
    for name, array in model.state_dict().items():
        # Absolute: the stem's bias has gradient 0 up to rounding (batch norm follows), and Adam and RMSprop turn a
        # gradient of 1e-16 into a step of lr 1e-16 / 1e-8.
        difference = np.abs(channels_first(array) - twin.p[name].detach().numpy()).max()
        assert difference < 1e-7 * lr / 0.01, name


def test_mean_squared_error():
    rng = np.random.default_rng(0)
    z, target = rng.standard_normal((2, 3, 4, 5)), rng.random((2, 3, 4, 5))
    weight = rng.integers(0, 2, (2, 5)).astype(float)
    ours = hbcore.Tensor(z, requires_grad=True)
    loss = heatmap_mse(ours, target, weight)
    loss.backward()
    theirs = torch.tensor(z, requires_grad=True)
    expected = (((theirs - torch.tensor(target)) ** 2) * torch.tensor(weight)[:, None, None, :]).sum() / weight.sum()
    expected.backward()
    assert abs(loss.item() - expected.item()) < RELATIVE * expected.item()
    assert relative_error(ours.grad, theirs.grad.numpy()) < RELATIVE


def test_softmax_cross_entropy():
    rng = np.random.default_rng(3)
    z, target = 3 * rng.standard_normal((3, 5, 4, 7)), rng.integers(0, 7, (3, 5, 4)).astype(np.uint8)
    target[rng.random(target.shape) < 0.3] = IGNORED
    ours = hbcore.Tensor(z, requires_grad=True)
    loss = softmax_cross_entropy(ours, target)
    loss.backward()
    theirs = torch.tensor(z, requires_grad=True)
    expected = F.cross_entropy(theirs.permute(0, 3, 1, 2), torch.tensor(target.astype(np.int64)), ignore_index=IGNORED)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=RELATIVE)
    np.testing.assert_allclose(ours.grad, theirs.grad.numpy(), rtol=RELATIVE, atol=1e-15)
