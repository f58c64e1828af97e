"""Following through a film: numbers stay, points are steady, and who is lost is found again."""

from types import SimpleNamespace

import numpy as np
import pytest

from hbcore.landmarks.finding.smoothing import OF_SPEED, REST, SLOPE, OneEuro
from hbcore.landmarks.finding.tracker import Tracker, overlap
from hbcore.landmarks.landmarker import Instance

FACE = np.array([[0, 0], [40, 0], [40, 40], [0, 40]], np.float32)


class World:
    """In place of a Landmarker: faces at known places, seen where a box is no more than 30 pixels off."""

    description = SimpleNamespace(parts=False)
    finder = True

    def __init__(self, *places):
        self.places, self.looks, self.found = [np.array(place, float) for place in places], 0, 0

    def __call__(self, picture, boxes=None):
        if boxes is None:
            self.found += 1
            return [self.instance(place) for place in self.places]
        self.looks += 1
        middle = (np.asarray(boxes)[:2] + np.asarray(boxes)[2:]) / 2 - 20
        near = min(self.places, key=lambda place: np.abs(place - middle).max(), default=None)
        if near is None or np.abs(near - middle).max() > 30:
            return [self.instance(middle, sure=False)]
        return [self.instance(near)]

    def instance(self, place, sure=True):
        points = FACE + np.asarray(place, np.float32)
        return Instance(("a", "b", "c", "d"), np.zeros(4), 0.9 if sure else 0.1, sure, points, np.ones(4, np.float32))


PICTURE = np.zeros((4, 4, 3), np.uint8)


def test_one_euro_by_hand():
    """Of two points one makes a step of 20: both are taken to do 10, the rest is filtered by how fast it is."""
    smooth = OneEuro()
    assert smooth(np.zeros((2, 2)), 0.1, 50.0).tolist() == [[0, 0], [0, 0]]
    moved = smooth(np.array([[20.0, 0.0], [0.0, 0.0]]), 0.1, 50.0)

    def share(f):
        return 1 / (1 + 1 / (2 * np.pi * f * 0.1))

    speed = share(OF_SPEED) * 10 / (0.1 * 50)
    step = 10 * share(REST + SLOPE * speed)
    np.testing.assert_allclose(moved, [[10 + step, 0], [10 - step, 0]])


def test_what_all_points_do_is_followed_at_once():
    smooth = OneEuro()
    smooth(FACE.astype(float), 0.04, 40.0)
    for step in range(1, 5):
        np.testing.assert_allclose(smooth(FACE + 7.0 * step, 0.04, 40.0), FACE + 7.0 * step)


def test_noise_at_rest_becomes_less_and_what_moves_is_followed():
    rng = np.random.default_rng(0)
    rest, swift = OneEuro(), OneEuro()
    noise = rng.normal(0, 0.3, (200, 68, 2))
    still = np.array([rest(points, 0.04, 100.0) for points in noise])
    assert still[50:].std() < 0.6 * noise.std()
    path = np.arange(100.0)[:, None, None] * np.array([[4, 4], [-4, -4]])  # one size of the face a second, apart
    followed = np.array([swift(points, 0.04, 100.0) for points in path])
    assert np.abs(followed[50:] - path[50:]).max() < 8  # 80 milliseconds
    with pytest.raises(ValueError, match="above 0"):
        rest(np.zeros((1, 2)), 0.0, 1.0)


def test_points_of_small_faces_are_means_of_two_looks():
    """The second look, half a pixel beside the first, finds them a pixel farther right."""

    class Uneasy(World):
        def __call__(self, picture, boxes=None):
            (instance,) = super().__call__(picture, boxes)
            beside = boxes is not None and boxes[0] % 1 != 0
            instance.points[:, 0] += beside
            return [instance]

    small, large = Uneasy((100, 100)), Uneasy((100, 100))
    large.instance = lambda place, sure=True: Instance(
        ("a", "b", "c", "d"), np.zeros(4), 0.9, sure, 2 * FACE + np.asarray(place, np.float32), np.ones(4, np.float32)
    )
    middle = np.array([100.5, 100])
    for world, expected, looks in ((small, FACE + middle, 2), (large, 2 * FACE + 100, 1)):
        track = Tracker(world, smooth=False)
        track(PICTURE)
        (face,) = track(PICTURE)
        np.testing.assert_allclose(face.instance.points, expected)
        assert world.looks == looks


def test_numbers_stay_while_faces_move_past():
    world = World((100, 100), (300, 100))
    track = Tracker(world, smooth=False)
    for _ in range(20):
        faces = track(PICTURE)
        assert [face.number for face in faces] == [1, 2]
        for face, place in zip(faces, world.places, strict=True):
            assert np.allclose(face.instance.points, FACE + place, atol=1e-4)
        world.places[0] += (8, 0)
        world.places[1] -= (0, 3)
    assert world.found == 2  # of 20 pictures in 0.8 seconds: the first, and one half a second later
    assert world.looks > 0


def test_who_comes_gets_a_number_and_who_goes_loses_it_in_time():
    world = World((100, 100))
    track = Tracker(world, every=0.1, patience=0.5)
    assert [face.number for face in track(PICTURE)] == [1]
    world.places.append(np.array([200.0, 100.0]))
    later = [[face.number for face in track(PICTURE)] for _ in range(4)]
    assert later[-1] == [1, 2]
    gone = world.places.pop(0)
    assert [face.number for face in track(PICTURE)] == [2]
    world.places.insert(0, gone)  # behind somebody for a moment
    assert sorted(face.number for face in [track(PICTURE) for _ in range(4)][-1]) == [1, 2]
    world.places.pop(0)
    for _ in range(20):
        track(PICTURE)
    world.places.append(gone)
    assert sorted(face.number for face in [track(PICTURE) for _ in range(4)][-1]) == [2, 3]


def test_two_tracks_on_one_face_become_one():
    world = World((100, 100), (125, 100))
    track = Tracker(world, smooth=False)
    assert len(track(PICTURE)) >= 1
    world.places = [np.array([110.0, 100.0])]
    assert [face.number for face in track(PICTURE)] == [1]


def test_what_cannot_be_followed_is_refused():
    world = World()
    assert Tracker(world)(PICTURE) == []
    with pytest.raises(ValueError, match="dt must be above 0"):
        Tracker(world)(PICTURE, 0.0)
    world.finder = None
    with pytest.raises(ValueError, match="only a model of points that a finder goes with"):
        Tracker(world)


def test_overlap_by_hand():
    assert overlap(np.array([0, 0, 10, 10.0]), np.array([5, 0, 10, 5.0])) == 1
    assert overlap(np.array([0, 0, 10, 10.0]), np.array([5, 5, 15, 15.0])) == 0.25
    assert overlap(np.array([0, 0, 10, 10.0]), np.array([20, 5, 35, 15.0])) == 0
