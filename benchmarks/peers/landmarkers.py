"""Whole landmarkers of others, as they are installed: from a photograph to points, by their own ways of finding.

Each gives points (K, 2) in pixels of the picture, in the order of a scheme of ours, NaN for those that it does not
know, or None where it finds nobody. `bytes` counts the files of weights it reads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

MESH_TO_IBUG = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),  # mouth
)
"""Which of MediaPipe's 468 points of a face lies closest to each of ibug's 68, as it is commonly taken."""

BODY_TO_LSP = (28, 26, 24, 23, 25, 27, 16, 14, 12, 11, 13, 15)
"""Which of MediaPipe's 33 points of a body is each of LSP's first 12 joints; neck and top of the head are not there."""


@dataclass(frozen=True)
class Landmarker:
    """One of them: find(picture (H, W, 3) uint8) -> points or None."""

    name: str
    bytes: int
    find: Callable[[NDArray[np.uint8]], Points | None]


def dlib_face() -> Landmarker:
    """dlib's regression trees (Kazemi, Sullivan, 2014) behind its own finder. Trained on the whole of 300-W, it says:
    the test faces may be among what it has seen."""
    import dlib
    import face_recognition_models

    file = Path(face_recognition_models.pose_predictor_model_location())
    predict = dlib.shape_predictor(str(file))
    detect = dlib.get_frontal_face_detector()

    def find(picture: NDArray[np.uint8]) -> Points | None:
        boxes = detect(picture, 0)
        if not boxes:
            return None
        found = predict(picture, max(boxes, key=lambda box: box.area()))
        return np.array([(part.x, part.y) for part in found.parts()], dtype=np.float64)

    return Landmarker("dlib, 68 points", file.stat().st_size, find)


def mediapipe_face() -> Landmarker:
    """MediaPipe's mesh of 468 points behind its own finder, for single pictures."""
    import mediapipe

    mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1)

    def find(picture: NDArray[np.uint8]) -> Points | None:
        faces = mesh.process(picture).multi_face_landmarks
        return _pixels(faces[0].landmark, picture)[list(MESH_TO_IBUG)] if faces else None

    names = "face_landmark/face_landmark.tflite", "face_detection/face_detection_short_range.tflite"
    return Landmarker("MediaPipe, face mesh", _bytes(mediapipe, names), find)


def mediapipe_body() -> Landmarker:
    """MediaPipe's 33 points of a body (BlazePose, full) behind its own finder, for single pictures."""
    import mediapipe

    pose = mediapipe.solutions.pose.Pose(static_image_mode=True, model_complexity=1)

    def find(picture: NDArray[np.uint8]) -> Points | None:
        body = pose.process(picture).pose_landmarks
        if body is None:
            return None
        joints = _pixels(body.landmark, picture)[list(BODY_TO_LSP)]
        return np.concatenate([joints, np.full((2, 2), np.nan)])

    names = "pose_landmark/pose_landmark_full.tflite", "pose_detection/pose_detection.tflite"
    return Landmarker("MediaPipe, BlazePose full", _bytes(mediapipe, names), find)


def _pixels(landmarks: Any, picture: NDArray[np.uint8]) -> Points:
    rows, columns = picture.shape[:2]
    return np.array([(p.x * columns - 0.5, p.y * rows - 0.5) for p in landmarks], dtype=np.float64)


def _bytes(mediapipe: Any, names: tuple[str, ...]) -> int:
    modules = Path(mediapipe.__file__).parent / "modules"
    return sum((modules / name).stat().st_size for name in names)
