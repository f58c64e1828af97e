"""Looking into a network while it computes, and where numbers stop being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from hbcore.autograd.function import no_grad
from hbcore.autograd.tensor import Tensor
from hbcore.nn.module import Module


@contextmanager
def observe(model: Module, callback: Callable[[str, Module, tuple[Any, ...], Any], None]) -> Iterator[None]:
    """Within this context callback(name, module, inputs, result) runs after every forward pass of every module."""
    named = list(model.named_modules())
    for name, module in named:
        module.observer = lambda module, inputs, result, name=name: callback(name, module, inputs, result)
    try:
        yield
    finally:
        for _, module in named:
            del module.observer


def first_not_finite(model: Module, pictures: np.ndarray) -> str | None:
    """Name of the first module whose parameters or output hold nan or inf on these pictures; None if all is well."""
    for name, array in model.state_dict().items():
        if not np.isfinite(array).all():
            return name
    found: list[str] = []

    def check(name: str, module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        results = result if isinstance(result, list | tuple) else [result]
        if not found and not all(np.isfinite(tensor.data).all() for tensor in results):
            found.append(name or type(module).__name__)

    with suppress(FloatingPointError):  # a sign met the nan; the module that made it has been noted by then
        run_once(model, pictures, check)
    return found[0] if found else None


def run_once(
    model: Module, pictures: np.ndarray, callback: Callable[[str, Module, tuple[Any, ...], Any], None]
) -> None:
    """Forward pass in evaluation mode under observation; the model's own mode is restored."""
    training = model.training
    model.eval()
    try:
        with no_grad(), observe(model, callback):
            model(Tensor(pictures))
    finally:
        model.train(training)
