"""Looking into a network while it computes, and where numbers stop being finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np

from hbcore.autograd.function import no_grad
from hbcore.autograd.tensor import Tensor
from hbcore.nn.module import Module


@contextmanager
def observe(model: Module, callback: Callable[[str, Module, tuple[Any, ...], Any], None]) -> Iterator[None]:
    """Within this context callback(name, module, inputs, result) runs after every forward pass of every module.

    A module that occurs twice has the first of its names. Of contexts within each other, the outer one is called first.
    """
    watched = [(name, module, module.observer) for name, module in model.named_modules()]
    for name, module, outer in watched:
        module.observer = _observer(name, callback, outer)
    try:
        yield
    finally:
        for _, module, outer in watched:
            if outer is None:
                del module.observer
            else:
                module.observer = outer


def _observer(name: str, callback: Callable[..., None], outer: Callable[..., None] | None) -> Callable[..., None]:
    """What a module calls: whoever observes it already, and then the callback."""

    def tell(module: Module, inputs: tuple[Any, ...], result: Any) -> None:
        if outer is not None:
            outer(module, inputs, result)
        callback(name, module, inputs, result)

    return tell


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
    model: Module,
    pictures: np.ndarray,
    callback: Callable[[str, Module, tuple[Any, ...], Any], None],
    graph: bool = False,
) -> None:
    """Forward pass in evaluation mode under observation; every module then has its own mode again.

    graph: record it, and have the graph reach down to the pictures.
    """
    modes = [(module, module.training) for module in model.walk()]
    model.eval()
    try:
        with nullcontext() if graph else no_grad(), observe(model, callback):
            model(Tensor(pictures, requires_grad=graph))
    finally:
        for module, training in modes:
            module.training = training
