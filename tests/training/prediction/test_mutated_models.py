"""Model files from anywhere: whatever is changed in one, it loads and can be used, or is refused in one line.

HBCORE_MUTATIONS=100000 makes that many of them, with the same seeds, and takes half an hour.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from hbcore import StackedHourglass, load_model
from hbcore.deploy.model_file import ModelFileError
from hbcore.export.packing import pack
from hbcore.landmarks.heatmaps import HeatmapCodec
from hbcore.landmarks.masks import MaskCodec
from tests.mutations import join, mutated, parse, places
from training.errors import DataError
from training.labels.parts import Parts
from training.labels.skeletons import Skeleton
from training.pictures.drawing import overlay
from training.prediction.model import Model

SEEDS = range(4)
WANTED = os.environ.get("HBCORE_MUTATIONS")
EACH = -(-int(WANTED or 800) // len(SEEDS))
SIZE = 16

FULL = Skeleton(
    name="full",
    keypoints=("left_eye", "right_eye", "nose"),
    edges=((0, 2), (1, 2)),
    flip_pairs=((0, 1),),
    head=(0, 1),
    torso=(0, 2),
    outer_eyes=(1, 0),
    pupils=((1,), (0, 2)),
    sigmas=(0.02, 0.02, 0.03),
)
PARTS = Parts("three", ("background", "left", "right"), ((1, 2),))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small model files with all the fields that there are: points, and parts; plain, and the last two packed."""
    path = tmp_path_factory.mktemp("good") / "m.safetensors"
    packed = path.with_name("packed.safetensors")
    files = []
    for number, block in enumerate(("bottleneck", "hpm")):
        for made in (
            Model(StackedHourglass(16, 3, depth=1, block=block, seed=number), FULL, HeatmapCodec(SIZE)),
            Model(
                StackedHourglass(16, 3, stacks=2, depth=1, block=block, activation="prelu", seed=number),
                PARTS,
                MaskCodec(SIZE),
                "softmax",
                "parts",
            ),
        ):
            made.save(path, trained={"steps": 7, "data": ["lsp:x"]})
            Model.load(path)
            files.append(path.read_bytes())
            if block == "hpm":
                pack(str(path), packed)
                files.append(packed.read_bytes())
    return files


def refusal(path: Path) -> str:
    """Why the file cannot be used; nothing if it can. Whatever else is raised passes through."""
    reasons = []
    try:
        load_model(path)
    except ModelFileError as error:
        reasons.append(str(error))
    try:
        model = Model.load(path)
    except DataError as error:
        reasons.append(str(error))
        assert all(reason.isprintable() and len(reason) < 800 and str(path) in reason for reason in reasons)
        return reasons[-1]
    assert not reasons, "the library refuses what the trainings take"
    json.dumps(model.scheme.to_dict(), allow_nan=False).encode()
    if model.codec.input_size > 4 * SIZE:
        return ""  # allowed, but large: no time for it here
    picture = np.full((1, model.codec.input_size, model.codec.input_size, 3), 99, np.uint8)
    try:
        answer, *_ = model.predict(picture, flip=model.scheme.flips)
    except DataError as error:
        return str(error)
    assert np.isfinite(answer).all()
    if isinstance(model.scheme, Skeleton):
        overlay(picture[0], answer[0], model.scheme)
    return ""


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mutated_model_file_is_used_or_refused(seed: int, good: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    refused = 0
    for number in range(EACH):
        path.write_bytes(mutated(good[number % len(good)], np.random.default_rng([seed, number])))
        try:
            refused += bool(refusal(path))
        except Exception as error:
            raise AssertionError(f"seed {seed}, number {number}: {error!r}") from error
    print(f"seed {seed}: {refused} of {EACH} refused")
    assert 0.3 < refused / EACH < 0.95, "mutations should be neither harmless nor hopeless"


HOSTILE = ("", "\n", "\0", "\ud800", "Infinity", "1" * 300, float("inf"), float("nan"), 10**400, [], [""], {}, None)


@pytest.mark.parametrize("which", [0, 1, 3], ids=["points", "parts", "packed"])
def test_every_field_with_every_hostile_value(which: int, good: list[bytes], tmp_path: Path) -> None:
    """Texts, numbers, lists, and the objects that hold them. The fast share takes two values each."""
    path = tmp_path / "m.safetensors"
    header, weights = parse(good[which])
    ways = places(json.loads(header["__metadata__"]["hbcore"]))
    assert len(ways) > 40
    for number, way in enumerate(ways[1:]):
        for value in HOSTILE if WANTED else (HOSTILE * 2)[number % len(HOSTILE) :][:2]:
            said = json.loads(parse(good[which])[0]["__metadata__"]["hbcore"])
            holder = said
            for key in way[:-1]:
                holder = holder[key]
            holder[way[-1]] = value
            header["__metadata__"]["hbcore"] = json.dumps(said)
            path.write_bytes(join(header, weights))
            try:
                refusal(path)
            except Exception as error:
                raise AssertionError(f"{way} = {value!r:.40}: {error!r}") from error
