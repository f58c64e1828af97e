"""A reader of packed files by somebody who knows docs/packed_file.md, NumPy and nothing of hbcore."""

import json
from pathlib import Path

import numpy as np

DTYPES = {"U8": np.uint8, "I8": np.int8, "F16": np.float16, "F32": np.float32}


class Stranger:
    """maps = Stranger(path)(picture): (H, W, 3) float32 in [0, 1] -> (H / 4, W / 4, joints)."""

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        end = 8 + int.from_bytes(content[:8], "little")
        text = json.loads(content[8:end])
        self.header = json.loads(text.pop("__metadata__")["hbcore"])
        self.arrays = {
            name: np.frombuffer(content[end:][slice(*place["data_offsets"])], DTYPES[place["dtype"]])
            for name, place in text.items()
        }
        self.known = self.header["architecture"]
        self.rows = {row.split(" ")[0]: self.row(*row.split(" ")[1:]) for row in self.header["layers"]}
        assert not any(len(array) for array in self.arrays.values())

    # ------------------------------------------------------------------------------------------------ numbers

    def take(self, name, count):
        values, self.arrays[name] = np.split(self.arrays[name], [count])
        assert len(values) == count
        return values

    def bits(self, name, count):
        numbers = self.take(name, (count + 7) // 8)
        return np.array([(numbers[i // 8] >> (i % 8)) & 1 for i in range(count)], dtype=bool)

    def row(self, kinds, sizes):
        shape = tuple(map(int, sizes.split("x")))
        kinds = kinds.replace("unit", "threshold+bits").split("+")
        filters, found = shape[-1], {"binary": not {"threshold", "bits"}.isdisjoint(kinds)}
        for kind in kinds:
            if kind == "threshold":
                channels = shape[2]
                found["threshold"] = self.take("threshold", channels).astype(np.float32), self.bits("flip", channels)
            elif kind == "bits":
                signs = 1 - 2 * self.bits("bits", int(np.prod(shape))).astype(np.float32)
                found["weights"] = signs.reshape(filters, *shape[:3]).transpose(1, 2, 3, 0)
                if self.known["scale"]:
                    found["alpha"] = self.take("alpha", filters).astype(np.float32)
            elif kind == "bytes":
                levels = self.take("bytes", int(np.prod(shape))).reshape(shape)
                found["weights"] = levels * self.take("step", filters)
            elif kind == "line":
                found["line"] = np.split(self.take("line", 2 * filters), 2)
            else:
                found["numbers"] = self.take("numbers", filters)
        return found

    # ------------------------------------------------------------------------------------------------ layers

    def convolution(self, name, x, step=1):
        row = self.rows[name]
        if "threshold" in row:
            t, flip = row["threshold"]
            x = np.where((x < t) ^ flip, np.float32(-1), np.float32(1))
        kernel, reach = row["weights"].shape[0], row["weights"].shape[0] // 2
        height, width = x.shape[:2]
        x = np.pad(x, ((reach, reach), (reach, reach), (0, 0)))
        y = sum(
            x[i : i + height : step, j : j + width : step] @ row["weights"][i, j]
            for i in range(kernel)
            for j in range(kernel)
        )
        y = y * row.get("alpha", np.float32(1))
        return y + row.get("numbers", np.float32(0))

    def line(self, name, x):
        scale, shift = self.rows[name]["line"]
        return x * scale + shift

    def unit(self, name, x, step=1, ends=False):
        real = f"{name}.0" in self.rows
        if real:
            x = np.maximum(self.line(f"{name}.0", x), 0)
        place = 2 if real else 1
        y = self.convolution(f"{name}.{place}", x, step)
        if ends or not self.rows[f"{name}.{place}"]["binary"]:
            return y
        if self.known["activation"] == "prelu":
            return np.where(y >= 0, y, y * self.rows[f"{name}.{place + 1}"]["numbers"])
        return np.maximum(y, 0) if self.known["activation"] == "relu" else y

    def units(self, name, x):
        number = 0
        while self.has(f"{name}.{number}"):
            x, number = self.unit(f"{name}.{number}", x), number + 1
        return x

    def has(self, name):
        return any(row.startswith(f"{name}.") for row in self.rows)

    def end(self, name, x):
        return self.convolution(name, x) if name in self.rows else self.unit(name, x, ends=True)

    # ----------------------------------------------------------------------------------------------- network

    def pool(self, x):
        windows = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1)
        return windows.max(axis=(1, 3)) if self.known["pool"] == "max" else windows.mean(axis=(1, 3))

    def block(self, name, x):
        skip = self.unit(f"{name}.skip", x) if self.has(f"{name}.skip") else x
        if self.known["block"] == "hpm":
            found = []
            for path in (name, *(f"{name}.others.{n}" for n in range(self.known["cardinality"] - 1))):
                y = x
                for number in range(self.known["layers"]):
                    y = self.unit(f"{path}.conv{number + 1}", y)
                    found.append(y)
            return np.concatenate(found, axis=-1) + skip
        if self.known["block"].startswith("multiscale"):
            p = brought_up(self.pool(x))
            found = [self.units(f"{name}.left", x), self.unit(f"{name}.small", p), self.units(f"{name}.large", p)]
            y = np.concatenate(found, axis=-1)
            return (self.unit(f"{name}.expand", y) if self.has(f"{name}.expand") else y) + skip
        for part in ("reduce", "spatial", "expand"):
            x = self.unit(f"{name}.{part}", x)
        return x + skip

    def hourglass(self, name, x, levels):
        improved = self.known["hourglass"] == "improved"
        y = self.block(f"{name}.low1", self.pool(x))
        y = self.hourglass(f"{name}.low2", y, levels - 1) if levels > 1 else self.block(f"{name}.low2", y)
        y = brought_up(self.block(f"{name}.low3", y))
        return np.concatenate([x, y], axis=-1) if improved else self.block(f"{name}.up1", x) + y

    def __call__(self, picture):
        stem = "stem.0"
        x = self.convolution(stem, picture, 2) if stem in self.rows else self.unit(stem, picture, 2, ends=True)
        x = self.block("stem.3", np.maximum(self.line("stem.1", x), 0))
        x = self.block("stem.6", self.block("stem.5", self.pool(x)))
        for stack in range(self.known["stacks"]):
            head = f"heads.{stack}"
            y = self.block(f"{head}.block", self.hourglass(f"hourglasses.{stack}", x, self.known["depth"]))
            lin = np.maximum(self.line(f"{head}.lin.1", self.unit(f"{head}.lin.0", y)), 0)
            maps = self.end(f"{head}.heatmaps", lin)
            if stack + 1 < self.known["stacks"]:
                x = x + self.unit(f"merge_features.{stack}", lin) + self.end(f"merge_heatmaps.{stack}", maps)
        return maps


def brought_up(x):
    return x.repeat(2, axis=0).repeat(2, axis=1)
