"""A network as C for pictures of several sizes: weights and memory plan are one, heights and widths variables.

The plan is that of the largest picture. In a smaller one every buffer is smaller, so that it lies in the same place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hbcore.deploy.table import Area, Table
from hbcore.export.c.network import CNetwork

OURS = re.compile(r"\b((?:weights|step|alpha|bias|slope|scale|shift|threshold|flip|layer)_\d+)\b")
"""Names of constants, that another network in the same file has as well."""


class AnySizeNetwork(CNetwork):
    """A CNetwork of the largest picture, with `height` and `width` in its calls. prefix: of its constants."""

    def __init__(self, table: Table, prefix: str) -> None:
        self.prefix = prefix
        super().__init__(table)
        self.layers = {"conv2d": "layer", "binary_conv2d": "binary_layer"}.items()

    def definitions(self) -> str:
        """Its constants."""
        return self._named("\n".join(self.constants.lines()))

    def body(self) -> str:
        """The calls, and before them the layers of the size that is asked for, which they change from step to step."""
        held = [f"{struct} {kind}_now;" for kind, struct in self.layers if kind in self.kinds]
        return self._named("\n".join(f"    {line}" for line in [*held, *self.calls]))

    def _named(self, text: str) -> str:
        return OURS.sub(rf"{self.prefix}\1", text)

    def _conv2d(self, n: int, *args: Any, **named: Any) -> str:
        return self._resized("conv2d", n, super()._conv2d(n, *args, **named))

    def _binary_conv2d(self, n: int, *args: Any, **named: Any) -> str:
        return self._resized("binary_conv2d", n, super()._binary_conv2d(n, *args, **named))

    def _resized(self, kind: str, n: int, call: str) -> str:
        now = f"{kind}_now"
        return f"{now} = layer_{n}, resize(&{now}.size, height, width); {call.replace(f'&layer_{n}', f'&{now}')}"

    def _words(self, bits: Area) -> str:
        return f"{self._pixels(bits)} * {-(-self.channels[bits.buffer] // 32)}"

    def _pixels(self, x: Area) -> str:
        return " * ".join(f"({side})" for side in self._sides(x))

    def _sizes(self, x: Area) -> str:
        return ", ".join([*self._sides(x), str(x.shape[3])])

    def _sides(self, x: Area) -> Iterator[str]:
        whole = self.table.picture.shape[1:3]
        for name, most, side in zip(("height", "width"), whole, x.shape[1:3], strict=True):
            yield name if side == most else f"{name} / {most // side}"
