"""A network with all that is needed to use it: what its maps stand for, codec, crop rule. One file holds it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hbcore import StackedHourglass, load_model
from hbcore.deploy import packed_file
from hbcore.deploy.model_file import ModelFileError, model_bytes, reason
from hbcore.landmarks.codec import Codec
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.description import Description, to_maps
from hbcore.landmarks.squares import CropRule
from training.errors import DataError, UserError
from training.files.writing import atomic_write
from training.labels.parts import Parts, Scheme, Sizes, skeleton_of
from training.labels.skeletons import Skeleton
from training.prediction.runner import WAYS, Runner

CROP_RULE = "a square around the person, side x side picture pixels, resized to the input; black outside the picture"


KEYS: Mapping[type[Parts] | type[Sizes] | type[Skeleton], str] = {
    Parts: "parts",
    Sizes: "sizes",
    Skeleton: "skeleton",
}
"""Where the header of a model file has what its maps stand for."""

BATCH = 16
"""Pictures that are computed at once."""


class NotFinite(DataError):
    """The network computes NaN or infinity."""


@dataclass(frozen=True, eq=False)
class Model:
    """From crops to keypoints, or to masks of parts.

    output: "sigmoid" if the network's maps are logits of probabilities, "identity" if they are the maps themselves,
    "softmax" if they are the logits of classes, of which the codec wants no more.
    task: the name of the task it was trained for; a model of one task is no use in another. way: see `Runner`.
    trained: what its file says of its training: "steps", names of the "data", and the data sets of "test". calibration:
    what confidence an answer needs; None for a model of an unfinished run, and in files from before there was one.
    crops: the rules of the data sets it was trained on, none in older files. packed: its file has signs in place of the
    weights that training changes.
    """

    network: StackedHourglass
    scheme: Scheme
    codec: Codec
    output: str = "sigmoid"
    task: str = "pose"
    way: str = WAYS[0]
    trained: Mapping[str, Any] = field(default_factory=dict)
    calibration: Calibration | None = None
    crops: tuple[CropRule, ...] = ()
    packed: bool = False

    @property
    def skeleton(self) -> Skeleton:
        """The keypoints. Raises DataError if the model finds parts."""
        return skeleton_of(self.scheme)

    @property
    def least_confidence(self) -> float | None:
        """The confidence that an answer needs to be worth something; None where that is not known."""
        return self.calibration.threshold if self.calibration else None

    @property
    def description(self) -> Description:
        """What the maps mean, as the library needs it."""
        edges = self.scheme.edges if isinstance(self.scheme, Skeleton) else ()
        parts = self.task, self.scheme.names, edges, self.codec, self.output, self.calibration, self.crops
        return Description(*parts)

    @property
    def needs_box(self) -> bool:
        """Whether in training it never saw whole pictures, as far as its file tells."""
        return self.description.needs_box

    def heatmaps(self, pictures: NDArray[np.uint8], flip: bool = False) -> NDArray[np.float32]:
        """Maps (N, h, w, K) for crops (N, S, S, 3); flip: the mean over the picture and its mirror image.

        In [0, 1] where the output is a sigmoid.
        Raises NotFinite if the network computes NaN or infinity, UserError if the flip pairs are not known.
        """
        maps = self._maps(pictures)
        if flip:
            if not self.scheme.flips:
                raise UserError(f"{self.scheme.name} has no mirror: its flip pairs are not known")
            mirrored = self._maps(np.ascontiguousarray(pictures[:, :, ::-1]))
            maps = (maps + mirrored[:, :, ::-1][..., self.scheme.flip_index()]) * np.float32(0.5)
        return maps

    def _maps(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            last = self.runner(pictures)
        except FloatingPointError:  # a sign met NaN
            raise NotFinite("the network computes NaN") from None
        try:
            return to_maps(last, self.output)
        except FloatingPointError as error:
            raise NotFinite(str(error)) from None

    @cached_property
    def runner(self) -> Runner:
        """What computes the maps. Its plan holds the weights of its first use."""
        return Runner(self.network, self.way)

    def predict(
        self,
        pictures: NDArray[np.uint8],
        flip: bool = False,
        batch_size: int = BATCH,
        follow: Callable[[Sequence[int]], Iterable[int]] = iter,
    ) -> tuple[NDArray[Any], ...]:
        """What the codec reads out of the maps of crops (N, S, S, 3), the answer first.

        Keypoints (N, K, 2) in input pixels and scores (N, K), or masks (N, S, S). `follow` sees the batches go by.
        """
        answers = [
            self.codec.decode(self.heatmaps(pictures[start : start + batch_size], flip))
            for start in follow(range(0, len(pictures), batch_size))
        ]
        return tuple(np.concatenate(part) for part in zip(*answers, strict=True))

    def save(self, path: Path, **more: Any) -> None:
        """Write the model file, whole or not at all. more: further JSON values for its header.

        Raises DataError if the network could not be loaded again.
        """
        metadata = {
            "task": self.task,
            KEYS[type(self.scheme)]: self.scheme.to_dict(),
            "codec": self.codec.describe(),
            "output": self.output,
            "input": {"size": self.codec.input_size, "channels": "RGB", "range": [0, 1]},
            "crop": CROP_RULE,
            **({"trained": dict(self.trained)} if self.trained else {}),
            **({"confidence": self.calibration.to_dict()} if self.calibration else {}),
            **({"crops": [asdict(rule) for rule in self.crops]} if self.crops else {}),
            **more,
        }
        try:
            content = model_bytes(self.network, metadata)
        except ModelFileError as error:
            raise DataError(f"{path}: {error}") from None
        atomic_write(path, content)

    @classmethod
    def load(cls, path: str | Path, task: str | None = None, way: str = WAYS[0]) -> Self:
        """The model in a file. Raises DataError if it is not one, or is one of another task than asked for."""
        try:
            network, header = load_model(path)
            said = Description.read(header, network)
            if task not in (None, said.task):
                remedy = f"use it with python -m training.{said.task}"
                raise DataError(f"{path} is a model of the task {said.task}: {remedy}")
            scheme = next(kind.from_dict(header[key]) for kind, key in KEYS.items() if key in header)
            told = header.get("trained")
        except ModelFileError as error:
            raise DataError(str(error)) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: not a model of this version ({reason(error)})") from None
        told = told if isinstance(told, dict) else {}
        packed = header["format"] == packed_file.FORMAT
        return cls(network, scheme, said.codec, said.output, said.task, way, told, said.calibration, said.crops, packed)
