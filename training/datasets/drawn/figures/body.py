"""An articulated body: from limb lengths and joint angles to the 16 MPII joints in three dimensions.

Axes of the view: x to the right of the picture, y down, z towards the viewer; the unit is the stature of the figure.
A body at rest stands upright and faces the viewer, so that its own axes (x to *its* left, y down, z to its front) are
those of the view, and its right hand is on the left of the picture. Angles are in degrees. Wherever a quantity exists
once per side, side 0 is the figure's right and side 1 its left (MPII's order of the ankles, wrists, ...).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.labels.skeletons import MPII

Array = NDArray[np.float64]


def _both(joint: str) -> tuple[int, int]:
    return MPII.keypoints.index(f"right_{joint}"), MPII.keypoints.index(f"left_{joint}")


ANKLE, KNEE, HIP = _both("ankle"), _both("knee"), _both("hip")
WRIST, ELBOW, SHOULDER = _both("wrist"), _both("elbow"), _both("shoulder")
PELVIS, THORAX = MPII.keypoints.index("pelvis"), MPII.keypoints.index("thorax")
UPPER_NECK, HEAD_TOP = MPII.keypoints.index("upper_neck"), MPII.keypoints.index("head_top")


@dataclass(frozen=True)
class Body:
    """Lengths of the bones, as parts of the stature; the defaults are those of an average adult."""

    head: float = 0.130
    neck: float = 0.050
    trunk: float = 0.290
    shoulder: float = 0.100  # from the thorax to one shoulder
    hip: float = 0.053  # from the pelvis to one hip
    upper_arm: float = 0.165
    forearm: float = 0.145
    hand: float = 0.075
    thigh: float = 0.245
    shin: float = 0.245
    foot: float = 0.105  # from the ankle to the tip of the toes
    bulk: float = 1.0  # factor on every thickness
    waist: float = 1.0  # factor on the waist alone


@dataclass(frozen=True)
class Arm:
    """Angles of one arm; all zero is an arm that hangs straight down."""

    flex: float = 0.0  # swings the arm forwards and up
    abduct: float = 0.0  # lifts it sideways, away from the body
    twist: float = 0.0  # turns it about itself, outwards positive: where the forearm goes when the elbow bends
    elbow: float = 0.0  # 0 is straight


@dataclass(frozen=True)
class Leg:
    """Angles of one leg; all zero is a straight leg under the hip."""

    flex: float = 0.0  # swings the thigh forwards and up
    abduct: float = 0.0  # and sideways
    turnout: float = 0.0  # turns the toes outwards
    knee: float = 0.0  # 0 is straight
    point: float = 0.0  # stretches the foot; 0 is a right angle to the shin


@dataclass(frozen=True)
class Pose:
    """Every angle of the figure and of the way it is looked at."""

    arms: tuple[Arm, Arm]
    legs: tuple[Leg, Leg]
    facing: float = 0.0  # 0 faces the viewer, 90 looks to the right of the picture, 180 shows the back
    tilt: float = 0.0  # turns the whole figure in the plane of the picture
    elevation: float = 0.0  # the viewer looks down on the figure by this much
    pitch: float = 0.0  # tips the whole figure forwards
    lean: float = 0.0  # bends the back forwards
    bend: float = 0.0  # and to the figure's right
    twist: float = 0.0  # turns the shoulders against the pelvis, to the figure's left
    nod: float = 0.0
    look: float = 0.0  # turns the head to the figure's left
    cock: float = 0.0  # tips the head to the figure's right

    def mirrored(self) -> Pose:
        """The same pose with right and left exchanged."""
        return Pose(
            (self.arms[1], self.arms[0]),
            (self.legs[1], self.legs[0]),
            -self.facing,
            -self.tilt,
            self.elevation,
            self.pitch,
            self.lean,
            -self.bend,
            -self.twist,
            self.nod,
            -self.look,
            -self.cock,
        )


@dataclass(frozen=True, eq=False)
class Figure:
    """A posed body: points and the frames (columns: to its left, down, to its front) that the drawing needs."""

    joints: Array  # (16, 3)
    waist: Array  # (3,)
    hands: Array  # (2, 3), the tips of the fingers
    heels: Array  # (2, 3)
    toes: Array  # (2, 3)
    head: Array  # (3, 3) frame
    chest: Array  # (3, 3) frame
    pelvis: Array  # (3, 3) frame


def tip(angle: float) -> Array:
    """Rotation about the x axis: what is up goes to the front."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array(((1.0, 0.0, 0.0), (0.0, c, s), (0.0, -s, c)))


def roll(angle: float) -> Array:
    """Rotation about the z axis: what hangs down goes to the left of the body (right of the picture)."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array(((c, s, 0.0), (-s, c, 0.0), (0.0, 0.0, 1.0)))


def turn(angle: float) -> Array:
    """Rotation about the y axis: what looks to the front looks to the left of the body."""
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    return np.array(((c, 0.0, s), (0.0, 1.0, 0.0), (-s, 0.0, c)))


def assemble(body: Body, pose: Pose) -> Figure:
    """Forward kinematics: the figure in the axes of the view, with the pelvis at the origin."""
    joints = np.zeros((len(MPII.keypoints), 3))
    ends = np.zeros((3, 2, 3))  # hands, heels, toes
    pelvis = tip(pose.elevation) @ roll(pose.tilt) @ turn(pose.facing) @ tip(pose.pitch)

    # The back bends in two steps, so that a deep bow is a curve and not a hinge.
    half = turn(pose.twist / 2) @ tip(pose.lean / 2) @ roll(pose.bend / 2)
    middle = pelvis @ half
    chest = middle @ half
    waist = -0.2 * body.trunk * (pelvis[:, 1] + middle[:, 1])
    joints[THORAX] = waist - 0.6 * body.trunk * chest[:, 1]

    head = chest @ turn(pose.look) @ tip(pose.nod) @ roll(pose.cock)
    joints[UPPER_NECK] = joints[THORAX] - 0.5 * body.neck * (chest[:, 1] + head[:, 1]) + 0.01 * chest[:, 2]
    joints[HEAD_TOP] = joints[UPPER_NECK] - body.head * head[:, 1]

    for side, sign in ((0, -1.0), (1, 1.0)):
        arm, leg = pose.arms[side], pose.legs[side]
        frame = chest @ tip(-arm.flex) @ roll(sign * arm.abduct)
        # A raised arm lifts its shoulder: by how far it points up along the back.
        lift = 0.018 * max(0.0, 0.5 - float(frame[:, 1] @ chest[:, 1]))
        shoulder = joints[THORAX] + sign * (body.shoulder - lift) * chest[:, 0] + (0.008 - lift) * chest[:, 1]
        elbow = shoulder + body.upper_arm * frame[:, 1]
        frame = frame @ turn(sign * arm.twist) @ tip(-arm.elbow)
        wrist = elbow + body.forearm * frame[:, 1]
        joints[SHOULDER[side]], joints[ELBOW[side]], joints[WRIST[side]] = shoulder, elbow, wrist
        ends[0, side] = wrist + body.hand * frame[:, 1]

        frame = pelvis @ tip(-leg.flex) @ roll(sign * leg.abduct) @ turn(sign * leg.turnout)
        hip = sign * body.hip * pelvis[:, 0]
        knee = hip + body.thigh * frame[:, 1]
        frame = frame @ tip(leg.knee)
        ankle = knee + body.shin * frame[:, 1]
        joints[HIP[side]], joints[KNEE[side]], joints[ANKLE[side]] = hip, knee, ankle
        frame = frame @ tip(leg.point)
        ends[1, side] = ankle + 0.026 * frame[:, 1] - 0.025 * frame[:, 2]
        ends[2, side] = ankle + 0.030 * frame[:, 1] + body.foot * frame[:, 2]
    return Figure(joints, waist, ends[0], ends[1], ends[2], head, chest, pelvis)
