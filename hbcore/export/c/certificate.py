"""The certificate: one model in several ways, with every bit, map and answer compared.

Real-valued sums are rounded in one order by all of them, so that of bits and maps nothing is left to tolerance.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Self

import numpy as np

from hbcore import kernels
from hbcore.autograd.function import Array
from hbcore.export.c.files import CModel
from hbcore.export.c.ways import InC, InIntegers, InPlan, NoComparison, Seen, Simulation, bit_areas
from hbcore.landmarks.description import to_maps
from hbcore.landmarks.masks import MaskCodec

NEAR = 1e-4
"""Pixels: C computes points in float64, in another order than Python."""


@dataclass(frozen=True)
class Difference:
    """How far one way to compute is from the C file; points in pixels."""

    differing_bits: int = 0
    largest_map_difference: float = 0.0
    largest_point_difference: float = 0.0
    differing_classes: int = 0

    @classmethod
    def between(cls, seen: Seen, answer: Array, by_c: tuple[list[Array], Array, Array]) -> Self:
        """For one picture; answer: points (K, 2) or classes (S, S), as Python decodes the maps."""
        bits = sum(int(np.bitwise_count(a ^ b).sum()) for a, b in zip(seen[0], by_c[0], strict=True))
        maps = float(np.abs(seen[1].astype(np.float64) - by_c[1]).max())
        if answer.dtype == np.uint8:
            return cls(bits, maps, differing_classes=int((answer != by_c[2]).sum()))
        return cls(bits, maps, float(np.abs(answer - by_c[2][:, :2]).max()))

    def joined(self, other: Self) -> Self:
        """Over both their pictures."""
        return replace(
            self,
            differing_bits=self.differing_bits + other.differing_bits,
            largest_map_difference=max(self.largest_map_difference, other.largest_map_difference),
            largest_point_difference=max(self.largest_point_difference, other.largest_point_difference),
            differing_classes=self.differing_classes + other.differing_classes,
        )

    @property
    def none(self) -> bool:
        """Whether they agree: bits, maps and classes exactly, points but for the last digits."""
        exact = not (self.differing_bits or self.largest_map_difference or self.differing_classes)
        return exact and self.largest_point_difference <= NEAR


def compiler() -> str:
    """The C compiler of this machine: what CC names, else a usual one. NoComparison if there is none."""
    named = os.environ.get("CC")
    found = next((name for name in ([named] if named else ["cc", "gcc", "clang"]) if shutil.which(name)), None)
    if found is None:
        raise NoComparison(f"there is no C compiler {named or 'here'}: install one, or name one in CC")
    return found


def certify(made: CModel, pictures: Iterable[Array], of: str) -> dict[str, Any]:
    """The certificate for pictures uint8 (S, S, 3), of which `of` says what they are.

    NoComparison, in one line, where nothing can be compared: no compiler, no kernels whose sums have an order.
    """
    kind = kernels.backend.name
    if made.whole is None and kind not in kernels.FUSED:
        raise NoComparison(f"the kernels {kind} add in an order of their own: nothing can be compared to the bit")
    used = compiler()
    fused = kernels.FUSED.get(kind, False)
    native = ("-march=native",) if fused and platform.machine() in ("x86_64", "AMD64") else ()
    flags = "-std=c99", "-O3", *native, "-ffp-contract=off", f"-DHB_FUSED={fused:d}"
    ways = ways_of(made)
    found = {name: Difference() for name in ways}
    count, digest = 0, sha256()
    with InC(made, used, flags) as in_c:
        for picture in pictures:
            by_c = in_c(picture)
            answers: dict[bytes, Array] = {}  # by the maps, which should be the same three times
            for name, way in ways.items():
                seen = way(picture)
                content = seen[1].tobytes()
                if content not in answers:
                    answers[content] = decoded(made, seen[1])
                found[name] = found[name].joined(Difference.between(seen, answers[content], by_c))
            digest.update(picture.tobytes())
            count += 1
    per_picture = sum(area.shape[1] * area.shape[2] * channels for area, channels in bit_areas(made))
    return {
        "equal": all(difference.none for difference in found.values()),
        "against_c": {name: asdict(difference) for name, difference in found.items()},
        "binary_layers": len(bit_areas(made)),
        "bits_compared": per_picture * count,
        "pictures": {"count": count, "of": of, "sha256": digest.hexdigest()},
        "model_sha256": made.digest,
        "c_sha256": sha256(made.files[f"{made.name}.c"].encode()).hexdigest(),
        "compiler": _version(used),
        "flags": list(flags),
        "machine": platform.machine(),
        "kernels": kind,
    }


def ways_of(made: CModel) -> dict[str, Callable[[Array], Seen]]:
    """What the C file is to be equal to, by name."""
    if made.whole is not None:
        return {"integers": InIntegers(made)}
    return {"simulation": Simulation(made, False), "packed": Simulation(made, True), "engine": InPlan(made)}


def decoded(made: CModel, maps: Array) -> Array:
    """What maps (h, w, K) say: points float32 (K, 2), or classes uint8 (S, S)."""
    if made.whole is not None:
        maps = maps.astype(np.float32) * np.float32(2.0**-made.whole.exponent)
    codec = made.description.codec
    if isinstance(codec, MaskCodec):
        return np.asarray(codec.decode(maps)[0])
    return codec.decode(to_maps(maps, made.description.output))[0]


def _version(compiler: str) -> str:
    with suppress(OSError):
        done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
        return (done.stdout.splitlines() or [compiler])[0]
    return compiler
