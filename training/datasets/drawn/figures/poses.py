"""Bodies and poses of people: one function per family, each a few angles with bounded variation.

The families are the ones seen in photographs of people (most of them upright); all angles are in degrees and lie well
inside what a joint can do. See `body` for their meaning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from training.datasets.drawn.figures.body import Arm, Body, Leg, Pose

Rng = np.random.Generator


def draw_body(rng: Rng) -> Body:
    """A random build: slim to stout, broad or narrow, long- or short-legged, and one in nine a child."""

    def vary(value: float, by: float = 0.045) -> float:
        return value * (1.0 + by * min(2.0, max(-2.0, rng.standard_normal())))

    legs, arms, girth = vary(1.0, 0.03), vary(1.0, 0.03), vary(1.0, 0.10)
    child = rng.random() < 0.11
    return Body(
        head=vary(0.160 if child else 0.130, 0.03),
        neck=vary(0.042 if child else 0.050, 0.06),
        trunk=vary(0.290),
        shoulder=vary(0.090 if child else 0.100, 0.06) * (1 + 0.3 * (girth - 1)),
        hip=vary(0.053, 0.06) * (1 + 0.3 * (girth - 1)),
        upper_arm=vary(0.150 if child else 0.165) * arms,
        forearm=vary(0.130 if child else 0.145) * arms,
        hand=vary(0.075),
        thigh=vary(0.222 if child else 0.245) * legs,
        shin=vary(0.222 if child else 0.245) * legs,
        foot=vary(0.105),
        bulk=girth,
        waist=vary(1.0, 0.08) + max(0.0, girth - 1.0),
    )


# --- arms --------------------------------------------------------------------------------------------------------


def _about(rng: Rng, value: float, spread: float) -> float:
    """A value within `spread` on either side, the middle more likely than the ends."""
    return value + spread * float(rng.random() + rng.random() - 1.0)


def _arm(rng: Rng, flex: float, abduct: float, twist: float, elbow: float, spread: float = 14.0) -> Arm:
    return Arm(
        _about(rng, flex, spread),
        _about(rng, abduct, 0.7 * spread),
        _about(rng, twist, 1.5 * spread),
        max(2.0, _about(rng, elbow, 1.3 * spread)),
    )


#                 flex abduct twist elbow
_GESTURES = {
    "hangs": (2.0, 11.0, -12.0, 16.0),
    "loose": (12.0, 18.0, -25.0, 40.0),
    "on the hip": (-22.0, 42.0, -68.0, 96.0),
    "across": (24.0, 4.0, -66.0, 98.0),
    "waves": (12.0, 98.0, 78.0, 78.0),
    "reaches up": (162.0, 14.0, 0.0, 18.0),
    "out and up": (0.0, 138.0, 20.0, 18.0),
    "out": (6.0, 86.0, 10.0, 14.0),
    "points": (84.0, 14.0, 0.0, 12.0),
    "holds": (14.0, 12.0, -20.0, 92.0),
    "to the ear": (42.0, 34.0, -38.0, 136.0),
    "behind": (-28.0, 18.0, -50.0, 46.0),
    "low and out": (8.0, 46.0, 0.0, 18.0),
}
_ONE = tuple(_GESTURES)
_BOTH = ("on the hip", "across", "reaches up", "out and up", "out", "points", "holds", "waves", "behind", "low and out")


def _gesture(rng: Rng, name: str) -> Arm:
    return _arm(rng, *_GESTURES[name])


def _arms(rng: Rng) -> tuple[Arm, Arm]:
    """Both arms of somebody who stands or sits: at rest, one busy, both alike, or anything."""
    kind = rng.random()
    if kind < 0.24:
        return _gesture(rng, "hangs"), _gesture(rng, "hangs")
    if kind < 0.56:
        busy = _ONE[int(rng.integers(1, len(_ONE)))]
        return _gesture(rng, busy), _gesture(rng, "hangs" if rng.random() < 0.7 else "loose")
    if kind < 0.82:
        both = _BOTH[int(rng.integers(len(_BOTH)))]
        return _gesture(rng, both), _gesture(rng, both)
    first, second = rng.integers(len(_ONE), size=2).tolist()
    return _gesture(rng, _ONE[first]), _gesture(rng, _ONE[second])


# --- legs --------------------------------------------------------------------------------------------------------


def _planted(flex: float, abduct: float, turnout: float, knee: float) -> Leg:
    """A leg whose foot lies flat on the ground, as far as the ankle allows."""
    return Leg(flex, abduct, turnout, knee, min(45.0, max(-28.0, flex - knee)))


def _stance(rng: Rng) -> tuple[Leg, Leg]:
    """Two straight legs, feet more or less apart, one perhaps relaxed."""
    apart = _about(rng, 6.0, 6.0) + (10.0 if rng.random() < 0.2 else 0.0)
    relaxed = float(rng.random() < 0.4) * (8.0 + 12.0 * float(rng.random()))
    return (
        _planted(_about(rng, 2.0, 6.0), apart, _about(rng, 12.0, 12.0), 4.0),
        _planted(_about(rng, 2.0, 6.0) + relaxed, apart, _about(rng, 14.0, 14.0), 4.0 + 1.7 * relaxed),
    )


# --- families ----------------------------------------------------------------------------------------------------


def _head(rng: Rng, pose: Pose) -> Pose:
    return replace(pose, nod=_about(rng, 5.0, 18.0), look=_about(rng, 0.0, 42.0), cock=_about(rng, 0.0, 14.0))


def stand(rng: Rng) -> Pose:
    """On both feet, the arms free."""
    pose = Pose(_arms(rng), _stance(rng), lean=_about(rng, 3.0, 9.0), bend=_about(rng, 0.0, 12.0))
    return replace(pose, twist=_about(rng, 0.0, 25.0))


def walk(rng: Rng) -> Pose:
    """A moment of a stride; the arms swing against the legs, or one is busy."""
    phase, stride = 2 * math.pi * float(rng.random()), 17.0 + 10.0 * float(rng.random())
    arms, legs = [], []
    for side in (0.0, math.pi):
        swing, ahead = math.sin(phase + side), max(0.0, math.cos(phase + side))
        flex, knee = 5.0 + stride * swing, 8.0 + 42.0 * ahead
        legs.append(replace(_planted(flex, 2.0, 8.0, knee), point=10.0 * ahead + 14.0 * max(0.0, -swing)))
        arms.append(_arm(rng, -0.9 * stride * swing, 9.0, -15.0, 22.0, 8.0))
    if rng.random() < 0.3:
        arms[0] = _gesture(rng, _ONE[int(rng.integers(len(_ONE)))])
    pose = Pose((arms[0], arms[1]), (legs[0], legs[1]), lean=_about(rng, 5.0, 6.0))
    return replace(pose, twist=-0.35 * stride * math.sin(phase))


def run(rng: Rng) -> Pose:
    """A moment of a run: knees high, elbows bent, leaning forwards."""
    phase, stride = 2 * math.pi * float(rng.random()), 32.0 + 16.0 * float(rng.random())
    arms, legs = [], []
    for side in (0.0, math.pi):
        swing, ahead = math.sin(phase + side), max(0.0, math.cos(phase + side + 0.4))
        legs.append(Leg(18.0 + stride * swing, 2.0, 6.0, 22.0 + 80.0 * ahead, 18.0 * ahead + 14.0 * max(0.0, -swing)))
        arms.append(_arm(rng, -1.1 * stride * swing, 16.0, -25.0, 88.0, 12.0))
    pose = Pose((arms[0], arms[1]), (legs[0], legs[1]), lean=_about(rng, 10.0, 8.0), pitch=_about(rng, 6.0, 5.0))
    return replace(pose, twist=-0.4 * stride * math.sin(phase))


def sit(rng: Rng) -> Pose:
    """On a seat, the hands in the lap, on the knees or free; the legs side by side, stretched or apart."""
    legs = []
    knee, apart = _about(rng, 82.0, 26.0), _about(rng, 9.0, 12.0)
    for _ in range(2):
        flex = _about(rng, 82.0, 9.0)
        legs.append(_planted(flex, apart, _about(rng, 6.0, 8.0), _about(rng, knee, 14.0)))
    arms = _arms(rng)
    if rng.random() < 0.6:
        lap = (38.0, 10.0, -22.0, 42.0) if rng.random() < 0.6 else (18.0, 8.0, -52.0, 72.0)
        arms = (_arm(rng, *lap, 10.0), _arm(rng, *lap, 10.0))
    return Pose(arms, (legs[0], legs[1]), lean=_about(rng, 8.0, 18.0), twist=_about(rng, 0.0, 16.0))


def crouch(rng: Rng) -> Pose:
    """A squat or half squat, the arms forward or between the knees."""
    depth = 0.5 + 0.5 * float(rng.random())
    flex, knee, apart = 105.0 * depth, 118.0 * depth, _about(rng, 14.0, 10.0)
    legs = (
        _planted(_about(rng, flex, 8.0), apart, 16.0, _about(rng, knee, 8.0)),
        _planted(_about(rng, flex, 8.0), apart, 16.0, _about(rng, knee, 8.0)),
    )
    reach = _about(rng, 62.0, 34.0)
    arms = (_arm(rng, reach, 10.0, -12.0, 34.0), _arm(rng, reach, 10.0, -12.0, 34.0))
    return Pose(arms, legs, lean=_about(rng, 30.0, 14.0), pitch=14.0 * depth)


def lunge(rng: Rng) -> Pose:
    """A long step: the front knee bent, the back leg stretched."""
    front = _about(rng, 62.0, 18.0)
    legs = (
        _planted(front, 6.0, 6.0, _about(rng, front + 10.0, 12.0)),
        Leg(_about(rng, -28.0, 10.0), 6.0, 10.0, _about(rng, 24.0, 18.0), 8.0),
    )
    return Pose(_arms(rng), legs, lean=_about(rng, 10.0, 12.0), twist=_about(rng, 0.0, 20.0))


def jump(rng: Rng) -> Pose:
    """In the air: a star, a tuck or a leap, the arms up or out."""
    up = ("reaches up", "out and up", "out", "waves")[int(rng.integers(4))]
    kind = int(rng.integers(3))
    if kind == 0:
        spread = _about(rng, 28.0, 10.0)
        legs = (Leg(4.0, spread, 10.0, 10.0, 30.0), Leg(4.0, spread, 10.0, _about(rng, 16.0, 14.0), 30.0))
    elif kind == 1:
        knee = _about(rng, 84.0, 24.0)
        legs = (Leg(_about(rng, 48.0, 22.0), 8.0, 5.0, knee, 30.0), Leg(_about(rng, 40.0, 22.0), 8.0, 5.0, knee, 30.0))
    else:
        legs = (Leg(_about(rng, 66.0, 14.0), 5.0, 5.0, 24.0, 30.0), Leg(_about(rng, -36.0, 10.0), 5.0, 5.0, 30.0, 36.0))
    return Pose((_gesture(rng, up), _gesture(rng, up)), legs, lean=_about(rng, 4.0, 12.0), bend=_about(rng, 0.0, 8.0))


def kick(rng: Rng) -> Pose:
    """One leg swung up, the arms out for balance."""
    high = _about(rng, 68.0, 24.0)
    legs = (
        Leg(high, _about(rng, 10.0, 12.0), 5.0, _about(rng, 18.0, 14.0), 25.0),
        _planted(_about(rng, -4.0, 6.0), 4.0, 10.0, _about(rng, 12.0, 8.0)),
    )
    arms = (_arm(rng, -24.0, 42.0, 0.0, 24.0), _arm(rng, 36.0, 52.0, 0.0, 26.0))
    return Pose(arms, legs, lean=_about(rng, -4.0, 12.0), bend=_about(rng, 0.0, 8.0), twist=_about(rng, -10.0, 14.0))


def throw(rng: Rng) -> Pose:
    """One arm back and up, the other forward, a wide stance; the end of a throw, a serve, a bat."""
    legs = (
        Leg(_about(rng, -18.0, 10.0), 8.0, 20.0, _about(rng, 18.0, 12.0), 10.0),
        _planted(_about(rng, 32.0, 12.0), 6.0, 5.0, _about(rng, 28.0, 12.0)),
    )
    arms = (_arm(rng, -10.0, 100.0, 66.0, 64.0), _arm(rng, 78.0, 28.0, 0.0, 24.0))
    return Pose(arms, legs, lean=_about(rng, 4.0, 12.0), bend=_about(rng, 8.0, 12.0), twist=_about(rng, -22.0, 18.0))


def bow(rng: Rng) -> Pose:
    """Bent forwards at the hips, the arms down or reaching."""
    lean = _about(rng, 46.0, 18.0)
    legs = (_planted(14.0, 7.0, 8.0, _about(rng, 16.0, 12.0)), _planted(14.0, 7.0, 8.0, _about(rng, 16.0, 12.0)))
    reach = _about(rng, 0.75 * lean + 12.0, 26.0)
    arms = (_arm(rng, reach, 8.0, 0.0, 18.0), _arm(rng, reach, 8.0, 0.0, 18.0))
    return Pose(arms, legs, lean=lean, pitch=0.3 * lean, twist=_about(rng, 0.0, 12.0))


def balance(rng: Rng) -> Pose:
    """On one leg, the other drawn up beside it: yoga, a dance, a stair."""
    abduct, turnout = _about(rng, 24.0, 20.0), _about(rng, 20.0, 14.0)
    lifted = Leg(_about(rng, 52.0, 22.0), abduct, turnout, _about(rng, 98.0, 20.0), 24.0)
    legs = lifted, _planted(2.0, 3.0, 8.0, 5.0)
    return Pose(_arms(rng), legs, lean=_about(rng, 2.0, 9.0), bend=_about(rng, 0.0, 14.0))


def lie(rng: Rng) -> Pose:
    """On the ground, seen from the side or from above: a loose standing pose turned over."""
    apart = _about(rng, 10.0, 9.0)
    legs = (
        Leg(_about(rng, 12.0, 16.0), apart, 10.0, _about(rng, 26.0, 24.0), 22.0),
        Leg(_about(rng, 24.0, 26.0), apart, 10.0, _about(rng, 42.0, 38.0), 22.0),
    )
    side = 1.0 if rng.random() < 0.5 else -1.0
    return Pose(_arms(rng), legs, tilt=side * _about(rng, 88.0, 22.0), lean=_about(rng, 6.0, 14.0))


FAMILIES: tuple[tuple[Callable[[Rng], Pose], float], ...] = (
    (stand, 0.46),
    (walk, 0.24),
    (run, 0.07),
    (sit, 0.05),
    (crouch, 0.02),
    (lunge, 0.04),
    (jump, 0.04),
    (kick, 0.02),
    (throw, 0.03),
    (bow, 0.01),
    (balance, 0.015),
    (lie, 0.005),
)
_CUMULATED = np.cumsum([share for _, share in FAMILIES])


def draw_pose(rng: Rng) -> tuple[str, Pose]:
    """A random family (its name) and a pose of it, seen from anywhere around; right and left are equally busy."""
    family = FAMILIES[int(np.searchsorted(_CUMULATED, rng.random() * _CUMULATED[-1], side="right"))][0]
    pose = _head(rng, family(rng))
    if rng.random() < 0.5:
        pose = pose.mirrored()
    # People mostly face the camera; one in seven turns their back on it, and some are seen from anywhere.
    view = rng.random()
    if view < 0.77:
        facing = _about(rng, 0.0, 55.0)
    elif view < 0.91:
        facing = 180.0 + _about(rng, 0.0, 55.0)
    else:
        facing = 360.0 * float(rng.random())
    tilt = pose.tilt + _about(rng, 0.0, 6.0) + (_about(rng, 0.0, 40.0) if rng.random() < 0.05 else 0.0)
    return family.__name__, replace(pose, facing=facing, tilt=tilt, elevation=_about(rng, 9.0, 13.0))
