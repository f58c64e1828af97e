"""`python -m hbcore.inspect VERB MODEL [PICTURE ...]`: what a network is made of, down to its bits."""

from __future__ import annotations

import argparse
import difflib
import mimetypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hbcore.commands import DATA, DISK, INTERRUPTED, Parser, say, tell
from hbcore.deploy.model_file import ModelFileError, write_whole
from hbcore.inspect.documents import graph, page
from hbcore.inspect.seen import looking, without_pillow
from hbcore.inspect.subject import InspectError, Subject
from hbcore.inspect.view import View, as_json, counted
from hbcore.inspect.views import attention, dead, difference, flips, layers, microscope, planes, robustness
from hbcore.landmarks.landmarker import model_names
from hbcore.threads import set_threads, usable_cores

NAME, PROGRAM = "inspect", "python -m hbcore.inspect"
VERBS: dict[str, Any] = {
    "summary": layers,
    "microscope": microscope,
    "bits": planes,
    "dead": dead,
    "robustness": robustness,
    "diff": difference,
    "attention": attention,
    "flips": flips,
    "page": page,
    "graph": graph,
}
"""Each a module with HELP, PICTURES, how many it looks at at most, options(parser) and view(subject, options)."""


def overview() -> Parser:
    """What says which verbs there are."""
    verbs = "\n".join(f"  {name:12}{module.HELP}" for name, module in VERBS.items())
    return Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [VERB] MODEL [PICTURE ...]",
        description="Look into a network. Without a verb: summary.",
        epilog=f"verbs:\n{verbs}\n\nVERB --help says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parser(verb: str) -> Parser:
    module = VERBS[verb]
    parser = Parser(prog=f"{PROGRAM} {verb}", description=module.__doc__.partition(": ")[2])
    names = ", ".join(model_names())
    parser.add_argument(
        "model", metavar="MODEL", help=f"a name ({names}), a model file, packed or not, or a run folder"
    )
    parser.add_argument(
        "pictures", nargs="*", metavar="PICTURE", help="picture files, or folders of them. Without any: noise"
    )
    parser.add_argument(
        "--boxes",
        action="append",
        metavar="x0,y0,x1,y1|CSV",
        help="where to look in every picture, in pixels, as `python -m hbcore landmarks` has it; else the whole",
    )
    parser.add_argument("--size", type=int, metavar="PIXELS", help="side of what the network sees, if not its own")
    parser.add_argument("--json", action="store_true", help="print JSON")
    module.options(parser)
    return parser


def parsed(words: list[str]) -> argparse.Namespace:
    """The options, and `verb`, which is summary where the first word is none. Options may stand between the others."""
    if words[:1] in (["-h"], ["--help"]):
        overview().print_help()
        sys.exit()
    verb, rest = (words[0], words[1:]) if words and words[0] in VERBS else ("summary", words)
    return parser(verb).parse_intermixed_args(rest, argparse.Namespace(verb=verb))


def write(out: Path, view: View) -> list[str]:
    """The document of a view, or its pictures; what there is to say about it. ModelFileError, InspectError."""
    return document(out, view.document) if view.document else pictures(out, view)


def document(file: Path, text: str) -> list[str]:
    """Write a text file where there is none. ModelFileError."""
    if os.path.lexists(file):
        raise ModelFileError(f"{file}: is there already: choose another --out")
    content = text.encode()
    write_whole(file, content)
    return [f"{file}, {len(content):,} bytes"]


def pictures(folder: Path, view: View) -> list[str]:
    """Write the pictures of a view as PNG files into a folder. ModelFileError, InspectError."""
    try:
        from hbcore.photos.drawing import png
    except ModuleNotFoundError as error:
        raise without_pillow(error) from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ModelFileError(f"{folder}: {error.strerror}: choose another folder") from None
    taken = [name for name in view.pictures if os.path.lexists(folder / f"{name}.png")]
    if taken:
        raise ModelFileError(f"{folder / taken[0]}.png: is there already: choose another folder")
    for name, levels in view.pictures.items():
        write_whole(folder / f"{name}.png", png(levels))
    return [f"{counted(len(view.pictures), 'picture')} in {folder}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code, see `hbcore/commands.py`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = parsed(words)
    set_threads(usable_cores())
    code = DATA
    try:
        require_model(chosen.model, words)
        view = looked_into(chosen)
        code = DISK
        out: Path | None = getattr(chosen, "out", None)
        written = write(out, view) if out else []
    except (ModelFileError, InspectError, FloatingPointError) as error:
        tell(NAME, str(error))
        return code
    except MemoryError:
        tell(NAME, "not enough memory: choose a smaller --size, or fewer pictures")
        return code
    except KeyboardInterrupt:
        tell(NAME, "interrupted")
        return INTERRUPTED
    return say(NAME, [as_json(view.data)] if chosen.json else [*view.lines, *written])


def require_model(word: str, words: Sequence[str]) -> None:
    """InspectError where the word for a model is that for a verb, or nearly, or a picture."""
    kind = mimetypes.guess_type(word)[0] or ""
    if kind.startswith("image/"):
        raise InspectError(f"{word}: is a picture: MODEL comes first, then pictures")
    near = difflib.get_close_matches(word, VERBS, n=1)
    if words[0] not in VERBS and near and word not in model_names() and not os.path.exists(word):
        raise InspectError(f"unknown verb or model {word!r}: is it {near[0]!r}? The verb comes first")


def looked_into(chosen: argparse.Namespace) -> View:
    """What the verb has to say. ModelFileError, InspectError, FloatingPointError."""
    verb = VERBS[chosen.verb]
    subject = Subject.read(chosen.model, chosen.size)
    if chosen.pictures:
        subject = looking(subject, chosen.pictures, chosen.boxes, chosen.verb, verb.PICTURES)
        if subject.description and subject.description.needs_box and not chosen.boxes:
            tell(NAME, "this model was trained on squares around boxes, but looks at whole photos: give it --boxes")
    elif chosen.boxes:
        raise InspectError("--boxes says where to look in pictures: name some, or leave it out")
    view: View = verb.view(subject, chosen)
    return view


if __name__ == "__main__":
    sys.exit(main())
