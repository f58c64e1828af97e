"""Whether an answer to an exercise is right: `python examples/course/answer.py LESSON NUMBER`.

The answers are here as fingerprints alone, so that nobody reads one by chance.
"""

import hashlib
import sys

RIGHT = {
    "1": "173bace2f2a6f6a9",
    "2": "00dc12ea5efd156f",
    "3": "2a11d234164fc2d1",
    "4": "ae53037c3adf35ab",
    "5": "8711d833425b8cba",
    "6": "71eddc68ecb0540a",
    "7": "1486b7506e030955",
    "8": "e201f142e9793932",
    "9": "253ba961ef215ff1",
    "10": "bc311596a3473ae5",
}


def fingerprint(lesson, number):
    return hashlib.sha256(f"lesson {lesson}: {round(float(number), 1):g}".encode()).hexdigest()[:16]


def main(arguments):
    try:
        lesson, number = arguments
        given, right = fingerprint(lesson, number), RIGHT[lesson]
    except (ValueError, KeyError):
        print(
            f"usage: python examples/course/answer.py LESSON NUMBER, with a lesson of {', '.join(RIGHT)}",
            file=sys.stderr,
        )
        return 2
    print("right" if given == right else "not yet: have another look at the lesson")
    return 0 if given == right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
