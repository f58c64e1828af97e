"""The graph that autograd records, drawn: what was computed, and, after backward, the gradient of everything in it."""

from __future__ import annotations

import numpy as np

from hbcore.autograd.function import Array, Function, Leaf, children_first
from hbcore.autograd.tensor import Tensor
from hbcore.inspect.documents.layered import Arrow, Box, drawn

MOST = 6
"""Numbers of an array that are written out; of a larger one, its shape, and how large it is on the whole."""


class Tape:
    """The graph behind a tensor, to be drawn before `backward` and after it.

    names: tensors of it by the name they shall have: leaves, or what was computed on the way, of which the graph itself
    keeps no numbers. Make it before backward, which uses the graph up, and must then be asked of `result` itself.
    ValueError where there is no graph, or a named tensor is not in it.
    """

    def __init__(self, result: Tensor, **names: Tensor) -> None:
        if result.function is None:
            raise ValueError(
                "this tensor has no graph: nothing it is made of has requires_grad, or it was under no_grad"
            )
        names = {"result": result} | names
        self.order = children_first(result.function)
        self.gradients: dict[int, Array] = {}
        self.operations = {id(node): type(node).__name__ for node in self.order if isinstance(node, Function)}
        known = {id(node) for node in self.order}
        self.named: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in names.items():
            key = id(tensor if tensor.function is None else tensor.function)
            if key not in known:
                raise ValueError(f"{name} is not in the graph of this tensor")
            self.named[key] = name, tensor
        self.arrows: list[Arrow] = []
        for node in self.order:
            if isinstance(node, Function):
                self.arrows += [(id(parent), id(node)) for parent in node.parents if parent is not None]
                self._listen(node)

    def _listen(self, node: Function) -> None:
        """Keep the gradient that comes to an operation's result. The operation itself forgets all when it is done."""
        backward, key = node.backward, id(node)

        def heard(g: Array) -> tuple[Array | None, ...]:
            self.gradients[key] = g.copy()
            return backward(g)

        vars(node)["backward"] = heard

    def svg(self, title: str = "what was computed") -> str:
        """As it is now: with gradients where backward has been."""
        return drawn({id(node): self._box(node) for node in self.order}, self.arrows, title)

    def _box(self, node: Function | Leaf) -> Box:
        name, tensor = self.named.get(id(node), ("", None))
        operation = self.operations.get(id(node), "")
        lines = [" = ".join(filter(None, (name, operation))) or "leaf"]
        if tensor is None and isinstance(node, Tensor):
            tensor = node
        if tensor is not None:
            lines.append(f"  {written(tensor.data)}")
        gradient = node.grad if isinstance(node, Tensor) else self.gradients.get(id(node))
        if gradient is not None:
            lines.append(f"d {written(gradient)}")
        return Box(tuple(lines), "plain" if operation else "real")


def written(array: Array) -> str:
    """A few numbers, or the shape of many and the root of their mean square."""
    if array.size > MOST:
        size = float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))
        return f"{'x'.join(map(str, array.shape))}, rms {size:.3g}"
    numbers = " ".join(f"{number + 0.0:.4g}" for number in array.reshape(-1).tolist())
    return numbers if array.size == 1 else f"[{numbers}]"
