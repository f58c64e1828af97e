"""A table of steps as C: constants, a memory plan in bytes, and one function that calls step after step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hbcore.deploy.memory import places
from hbcore.deploy.table import Area, Step, Table
from hbcore.export.c.numbers import GROUP, LOWEST, Constants, comparison, grouped, in_bytes, in_groups, words32
from hbcore.kernels.plan import Epilogue

ALIGN = 8  # bytes: what a double asks for


class CNetwork:
    """What a C file needs to know of a table of one picture.

    constants: their definitions; calls: the body of the function; kinds: the steps that are called; ram: bytes of the
    arena; decoding: where in it `spare` bytes are left beside the maps.
    """

    STRUCTS = ("binary_layer", "layer")

    def __init__(self, table: Table, spare: int = 0) -> None:
        self.table, self.constants = table, Constants()
        self.channels: dict[int, int] = {  # of packed signs
            step.arguments["x"].buffer: step.arguments["channels"]
            for step in table.steps
            if step.kind == "binary_conv2d"
        }
        readers = [step.kind for step in table.steps if any(a.buffer == table.picture.buffer for a in step.areas())]
        self.loads = readers != ["conv2d"]  # a convolution reads the caller's bytes as they are
        self.kinds = {step.kind for step in table.steps} | ({"load"} if self.loads else set())
        self.held = {  # weights in bytes, or None
            at: self._weights_in_bytes(step) for at, step in enumerate(table.steps) if step.kind == "conv2d"
        }
        count, ends = len(table.buffers), table.lifetimes()
        sizes = [self._bytes(buffer) for buffer in table.buffers]
        around = {at: self._around(table.steps[at], held is not None) for at, held in self.held.items()}
        sizes += [*around.values(), spare]
        ends += [(at, at) for at in around] + [(len(table.steps), len(table.steps))]
        begins, total = places(sizes, ends, ALIGN)
        self.begins, self.decoding, self.ram = begins[:count], begins[-1], -(-max(total, 1) // ALIGN) * ALIGN
        self.around = dict(zip(around, begins[count:-1], strict=True))
        self.calls = list(self._calls())

    def _weights_in_bytes(self, step: Step) -> tuple[Any, Any] | None:
        """Weights of a convolution as bytes and steps, which are decoded when it runs; None if they are not."""
        w = step.arguments["w"]
        return in_bytes(w.reshape(-1, w.shape[3]))

    def _bytes(self, buffer: Area) -> int:
        if buffer.buffer == self.table.picture.buffer and not self.loads:
            return 0
        if buffer.buffer in self.channels:
            return buffer.bytes // 8 // buffer.width * 4 * -(-self.channels[buffer.buffer] // 32)
        return buffer.bytes

    def _around(self, step: Step, in_bytes: bool) -> int:
        """Bytes that a real-valued convolution takes: weights of a group of filters, rows of a picture with borders."""
        x, (kernel_h, kernel_w, channels, _) = step.arguments["x"], step.arguments["w"].shape
        stride, padding = step.arguments["stride"], step.arguments["padding"]
        given = x.buffer == self.table.picture.buffer and not self.loads
        gathers = given or (kernel_h, kernel_w, stride) != (1, 1, 1)
        rows = kernel_h * (x.shape[2] + 2 * padding) if gathers else 0
        return 4 * int(channels) * int((kernel_h * kernel_w * GROUP if in_bytes else 0) + rows)

    # ------------------------------------------------------------------------------------------------- steps

    def _calls(self) -> Iterator[str]:
        if self.loads:
            yield f"load(shown, {self.place(self.table.picture)});"
        for number, step in enumerate(self.table.steps):
            yield getattr(self, f"_{step.kind}")(number, **step.arguments)
            bits = step.bits()
            if bits is not None:
                yield f"HB_SEEN({self.place(bits)}, {self._words(bits)})"

    def place(self, area: Area) -> str:
        """Where its first number or word lies, in C."""
        kind = "words" if area.buffer in self.channels else "numbers"
        return f"{kind}(arena, {self.begins[area.buffer] + 4 * area.first})"

    def _conv2d(self, n: int, x: Area, w: Any, stride: int, padding: int, epilogue: Epilogue) -> str:
        terms = w.reshape(-1, w.shape[3])
        held = self.held[n]
        if held is None:
            weights = f".numbers = {self.constants.add(f'weights_{n}', grouped(terms))}"
        else:
            levels, step = held
            bytes_name = self.constants.add(f"weights_{n}", grouped(levels))
            step_name = self.constants.add(f"step_{n}", grouped(step[None]).ravel())
            weights = f".bytes = {bytes_name}, .step = {step_name}"
        self._layer(self.STRUCTS[1], n, x, x.shape[3], w, stride, padding, weights, epilogue)
        given = x.buffer == self.table.picture.buffer and not self.loads
        source = "shown, NULL" if given else f"NULL, {self.place(x)}"
        memory = f"numbers(arena, {self.around[n]})"
        return f"conv2d(&layer_{n}, {source}, {memory}, {self._stored(epilogue)});"

    def _binary_conv2d(
        self, n: int, x: Area, w: Any, channels: int, stride: int, padding: int, epilogue: Epilogue
    ) -> str:
        by_filter = words32(w.transpose(3, 0, 1, 2), channels)  # (O, kH, kW, words)
        name = self.constants.add(f"weights_{n}", grouped(by_filter.reshape(len(by_filter), -1).T))
        self._layer(self.STRUCTS[0], n, x, channels, w, stride, padding, f".weights = {name}", epilogue)
        words = "NULL" if epilogue.bits is None else self.place(epilogue.bits)  # type: ignore[arg-type]
        return f"binary_conv2d(&layer_{n}, {self.place(x)}, {self._stored(epilogue)}, {words});"

    def _layer(
        self, kind: str, n: int, x: Area, channels: int, w: Any, stride: int, padding: int, weights: str, end: Any
    ) -> None:
        out = end.y if end.y is not None else end.bits
        height, width = out.shape[1:3]
        size = (*x.shape[1:3], channels, w.shape[0], stride, padding, height, width, w.shape[3])
        rows = [f".size = {{{', '.join(map(str, size))}}}", weights, f".end = {self._end(n, end)}"]
        self.constants.add_table(kind, f"layer_{n}", rows)

    def _end(self, n: int, end: Any) -> str:
        """What follows the sums, as the fields of a struct."""
        fields = []
        for name in ("alpha", "bias", "slope", "scale", "shift"):
            values = getattr(end, name)
            if values is not None and not (name == "alpha" and (values == 1).all()):
                fields.append(f".{name} = {self.constants.add(f'{name}_{n}', in_groups(values, 0))}")
        if end.bits is not None:
            threshold, flip = comparison(end.threshold, end.flip)
            fields.append(f".threshold = {self.constants.add(f'threshold_{n}', in_groups(threshold, LOWEST))}")
            fields.append(f".flip = {self.constants.add(f'flip_{n}', flip)}")
        fields += [f".{name} = 1" for name in ("relu", "relu_last") if getattr(end, name)]
        return f"{{{', '.join(fields) or '0'}}}"

    def _stored(self, end: Any) -> str:
        """Where results go and what is added: the arguments y, y_step, skip, skip_step."""
        areas = [f"{self.place(area)}, {area.width}" if area is not None else "NULL, 0" for area in (end.y, end.skip)]
        return ", ".join(areas)

    def _threshold(self, n: int, x: Area, threshold: Any, flip: Any, out: Area) -> str:
        limit, turned = comparison(threshold, flip)
        names = f"{self.constants.add(f'threshold_{n}', limit)}, {self.constants.add(f'flip_{n}', turned)}"
        return f"threshold({self.place(x)}, {self._pixels(x)}, {x.shape[3]}, {names}, {self.place(out)});"

    def _line(self, n: int, x: Area, scale: Any, shift: Any, sign: bool, y: Area) -> str:
        names = f"{self.constants.add(f'scale_{n}', scale)}, {self.constants.add(f'shift_{n}', shift)}"
        size = f"{self._pixels(x)}, {x.shape[3]}"
        return f"line({self.place(x)}, {x.width}, {size}, {names}, {int(sign)}, {self.place(y)});"

    def _add(self, _: int, x: Area, other: Area, y: Area) -> str:
        places = ", ".join(f"{self.place(area)}, {area.width}" for area in (x, other, y))
        return f"add({places}, {self._pixels(x)}, {x.shape[3]});"

    def _copy(self, _: int, x: Area, y: Area) -> str:
        return f"copy({self.place(x)}, {x.width}, {self.place(y)}, {y.width}, {self._pixels(x)}, {x.shape[3]});"

    def _max_pool(self, _: int, x: Area, y: Area) -> str:
        return f"max_pool({self.place(x)}, {self._sizes(x)}, {self.place(y)});"

    def _avg_pool(self, _: int, x: Area, y: Area) -> str:
        return f"avg_pool({self.place(x)}, {self._sizes(x)}, {self.place(y)});"

    def _upsample_add(self, _: int, x: Area, y: Area) -> str:
        return f"upsample_add({self.place(x)}, {self._sizes(x)}, {self.place(y)});"

    def _upsample(self, _: int, x: Area, y: Area) -> str:
        return f"upsample({self.place(x)}, {self._sizes(x)}, {self.place(y)}, {y.width});"

    # ------------------------------------------------------------------------------------------------- sizes

    def _words(self, bits: Area) -> str:
        """How many words hold the signs of an area."""
        return str(self._bytes(bits) // 4)

    def _pixels(self, x: Area) -> str:
        return str(x.shape[1] * x.shape[2])

    def _sizes(self, x: Area) -> str:
        """Height, width and channels."""
        return ", ".join(map(str, x.shape[1:]))
