"""A table of whole numbers as C: what differs from one of real numbers."""

from __future__ import annotations

from typing import Any

from hbcore.deploy.table import Area, Step
from hbcore.export.c.network import CNetwork
from hbcore.export.c.numbers import grouped, words32
from hbcore.export.integers.ending import Ending


class IntegerNetwork(CNetwork):
    """See :class:`CNetwork`; the steps are those of :class:`hbcore.export.integers.plan.IntegerPlan`."""

    STRUCTS = ("integer_binary_layer", "integer_layer")

    def _weights_in_bytes(self, step: Step) -> None:
        return None  # they are, and are not decoded

    def _conv2d(self, n: int, x: Area, w: Any, stride: int, padding: int, epilogue: Any) -> str:
        name = self.constants.add(f"weights_{n}", grouped(w.reshape(-1, w.shape[3])))
        self._layer("integer_layer", n, x, x.shape[3], w, stride, padding, f".weights = {name}", epilogue)
        given = x.buffer == self.table.picture.buffer and not self.loads
        source = "shown, NULL" if given else f"NULL, {self.place(x)}"
        return f"conv2d(&layer_{n}, {source}, numbers(arena, {self.around[n]}), {self._stored(epilogue)});"

    def _end(self, n: int, end: Any) -> str:
        fields = []
        for name in ("factor", "term", "slope", "scale", "offset", "threshold"):
            values = getattr(end, name)
            if values is not None:
                fields.append(f".{name} = {self.constants.add(f'{name}_{n}', values)}")
        if end.bits is not None:
            fields.append(f".flip = {self.constants.add(f'flip_{n}', words32(end.flip, len(end.factor)))}")
        numbers = "down", "slope_down", "scale_down", "y_down", "skip_down"
        fields += [f".{name} = {getattr(end, name)}" for name in numbers if getattr(end, name)]
        fields += [f".{name} = 1" for name in ("relu", "relu_last") if getattr(end, name)]
        return f"{{{', '.join(fields)}}}"

    def _threshold(self, n: int, x: Area, threshold: Any, flip: Any, out: Area) -> str:
        turned = words32(flip, len(threshold))
        names = f"{self.constants.add(f'threshold_{n}', threshold)}, {self.constants.add(f'flip_{n}', turned)}"
        return f"threshold({self.place(x)}, {self._pixels(x)}, {x.shape[3]}, {names}, {self.place(out)});"

    def _line(self, n: int, x: Area, epilogue: Ending, sign: bool, y: Area) -> str:  # type: ignore[override]
        self.constants.add_table("ending", f"ending_{n}", self._end(n, epilogue)[1:-1].split(", "))
        given = f"{self.place(x)}, {x.width}, {self._pixels(x)}, {x.shape[3]}"
        return f"line({given}, &ending_{n}, {int(sign)}, {self.place(y)});"

    def _copy(self, _: int, x: Area, x_down: int, y: Area) -> str:  # type: ignore[override]
        given = f"{self.place(x)}, {x.width}, {x_down}"
        return f"copy({given}, {self.place(y)}, {y.width}, {self._pixels(x)}, {x.shape[3]});"

    def _avg_pool(self, _: int, x: Area, x_down: int, y: Area) -> str:  # type: ignore[override]
        return f"avg_pool({self.place(x)}, {x_down}, {self._sizes(x)}, {self.place(y)});"

    def _upsample_add(self, _: int, x: Area, x_down: int, y: Area) -> str:  # type: ignore[override]
        return f"upsample_add({self.place(x)}, {x_down}, {self._sizes(x)}, {self.place(y)});"

    def _upsample(self, _: int, x: Area, x_down: int, y: Area) -> str:  # type: ignore[override]
        return f"upsample({self.place(x)}, {x_down}, {self._sizes(x)}, {self.place(y)}, {y.width});"


def map_meaning(exponent: int, number: int, total: int) -> str:
    """What the header says of a file of whole numbers, and of the proof behind it."""
    return (
        f"/* Computed in whole numbers: a map's number q is q / 2^{exponent}. Whatever the picture, no number between\n"
        f" * two steps is beyond {number:,} of 2,147,483,647, and no sum of products beyond {total:,}: followed from\n"
        " * step to step with the least and the greatest value of every channel. */\n"
    )
