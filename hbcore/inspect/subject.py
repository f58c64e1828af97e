"""What is looked into: a model by its name, file or run folder, and the pictures that it is shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hbcore.autograd.function import Array
from hbcore.deploy.model_file import ModelFileError, load_model, reason
from hbcore.landmarks.crop import Crop
from hbcore.landmarks.description import MOST, Description, to_input, to_maps
from hbcore.landmarks.landmarker import find_model, look_at
from hbcore.nn.blocks import Unit
from hbcore.nn.hourglass import StackedHourglass
from hbcore.nn.layers import BatchNorm2d, BinaryConv2d, Conv2d, use_packed
from hbcore.nn.module import Module

SIZE = 128
"""Pixels of the side of what a network sees, where its file does not say and nobody else does."""


class InspectError(ValueError):
    """What cannot be looked at: one line that names it and the remedy."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A network in evaluation, computing with packed bits, and what it looks at.

    name: as it was given. description: what its maps mean, or None where the file does not say. pictures: float32
    (N, S, S, 3) in [0, 1], and the square of its photo that each of them is, or None for noise. sources: the name of
    each photo, and which of its squares that is, from 1.
    """

    name: str
    network: StackedHourglass
    description: Description | None
    pictures: Array
    crops: tuple[Crop, ...] | None = None
    sources: tuple[tuple[str, int], ...] = ()

    @classmethod
    def read(cls, model: str, size: int | None = None) -> Self:
        """A model by its name, file or run folder, which looks at noise, always the same.

        size: of a picture's side, by default that of the model's training. ModelFileError where there is no model,
        InspectError where the size does not fit.
        """
        path = find_model(model)
        network, header = load_model(path / "last.safetensors" if path.is_dir() else path)
        try:
            description = Description.read(header, network) if "codec" in header else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path}: not a model of this version ({reason(error)})") from None
        side = size if size is not None else description.codec.input_size if description else SIZE
        if not _takes(network, side):
            raise InspectError(f"--size {side}: this network takes multiples of {network.multiple}, up to {MOST}")
        noise = np.random.default_rng(0).random((1, side, side, 3), dtype=np.float32)
        use_packed(network)
        return cls(model, network, description, noise)

    @property
    def size(self) -> int:
        """Pixels of the side of what the network sees."""
        return int(self.pictures.shape[1])

    def looking_at(self, photos: Iterable[tuple[str, NDArray[np.uint8], NDArray[np.float64] | None]]) -> Self:
        """The same with photos: names, uint8 RGB (H, W, 3), and boxes (n, 4), or None for the whole photo.

        They may come one by one: only their squares are kept.

        InspectError where a box does not fit its photo.
        """
        crops, seen, sources = [], [], []
        for name, photo, boxes in photos:
            for number, box in enumerate([None] if boxes is None else boxes, start=1):
                try:
                    crop = self._square(photo, box)
                except ValueError as error:
                    raise InspectError(f"the box {','.join(f'{x:g}' for x in box)} {error}") from None
                crops.append(crop)
                sources.append((name, number))
                seen.append(crop.extract(photo))
        return replace(self, pictures=to_input(np.stack(seen)), crops=tuple(crops), sources=tuple(sources))

    def also(self, model: str) -> Self:
        """Another model that looks at the same crops, or, if it takes none of that size, at noise. ModelFileError."""
        other = type(self).read(model)
        if not _takes(other.network, self.size):
            return other
        return replace(other, pictures=self.pictures, crops=self.crops, sources=self.sources)

    def _square(self, photo: NDArray[np.uint8], box: NDArray[np.float64] | None) -> Crop:
        if self.description is None:
            if box is not None:
                raise ValueError("is of no use: this model file does not say how boxes are looked at; leave it out")
            height, width = photo.shape[:2]
            return Crop(((width - 1) / 2, (height - 1) / 2), max(height, width), self.size)
        return replace(look_at(photo, box, self.description), size=self.size)

    def require_photos(self, verb: str) -> None:
        """InspectError where there is only noise to look at."""
        if self.crops is None:
            raise InspectError(f"{verb} needs pictures to look at: name a picture file, or a folder of them")

    def answers(self, heatmaps: Array) -> Array:
        """What the network's last maps (N, h, w, K) say: points (N, K, 2) in input pixels, or classes (N, S, S).

        InspectError where the model file does not say what its maps mean, or they are of another size.
        """
        described = self.description
        if described is None:
            raise InspectError(f"{self.name}: its file does not say what its maps mean, as those of a training run do")
        if self.size != described.codec.input_size:
            raise InspectError(f"--size {self.size}: this model answers at {described.codec.input_size} pixels only")
        return described.codec.decode(to_maps(heatmaps, described.output))[0]


def _takes(network: StackedHourglass, side: int) -> bool:
    return network.multiple <= side <= MOST and side % network.multiple == 0


def short(name: str) -> str:
    """A module's name as it is shown: that of its parameters without "modules"."""
    return name.replace("modules.", "")


def convolutions(network: Module) -> dict[str, tuple[Conv2d | BinaryConv2d, Unit | None]]:
    """Every convolution by the short name of its unit, or its own where it stands alone: (convolution, unit)."""
    units = {id(part): (name, unit) for name, unit in network.named_modules() if isinstance(unit, Unit)
             for part in unit.modules}  # fmt: skip
    found: dict[str, tuple[Conv2d | BinaryConv2d, Unit | None]] = {}
    for name, module in network.named_modules():
        if isinstance(module, Conv2d | BinaryConv2d):
            named, unit = units.get(id(module), (name, None))
            found[short(named)] = module, unit
    return found


def binary_units(network: Module) -> dict[str, tuple[BatchNorm2d, BinaryConv2d, Unit]]:
    """The units whose weights and activations are bits, by short name: (batch norm, convolution, unit).

    InspectError where there is none.
    """
    found = {}
    for name, (conv, unit) in convolutions(network).items():
        if unit is not None and isinstance(conv, BinaryConv2d) and conv.all_bits:
            norm = unit.modules[0]
            assert isinstance(norm, BatchNorm2d)
            found[name] = norm, conv, unit
    if not found:
        raise InspectError("this network has no binary layer, whose weights and activations are bits")
    return found


def choose(wanted: str, names: Sequence[str]) -> str:
    """The layer that was meant. InspectError that names similar ones where there is none of that name."""
    name = short(wanted)
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=3, cutoff=0)
    raise InspectError(f"--layer {wanted}: no binary layer of this network; similar: {', '.join(near)}")
