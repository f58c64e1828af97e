"""The facts in the cards of docs/models/, made from the model files in hbcore/models/ that they describe.

python docs/cards.py            writes them
python docs/cards.py --check    exit code 1, and one line, where a card says something else, or is missing
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from hbcore import load_model, summary
from hbcore.landmarks.confidence import Calibration
from hbcore.landmarks.description import Description

ROOT = Path(__file__).resolve().parents[1]
MODELS, CARDS = ROOT / "hbcore" / "models", ROOT / "docs" / "models"
BEGIN, END = "<!-- facts: written by docs/cards.py -->", "<!-- facts end -->"


def facts(path: Path) -> str:
    """What a model file says of itself, as a Markdown table."""
    network, header = load_model(path)
    said, content = Description.read(header, network), path.read_bytes()
    side, rules = said.codec.input_size, ", ".join(map(str, said.crops))
    cost = summary(network, side, side).to_dict()
    bits, products, real = (cost[name] for name in ("binary_weights", "binary_macs", "real_macs"))
    rows = {
        "file": f"`{path.relative_to(ROOT).as_posix()}`, {len(content):,} bytes",
        "SHA-256": f"`{hashlib.sha256(content).hexdigest()}`",
        "finds": f"{len(said.names)} {_things(said)}, `{said.names[0]}` to `{said.names[-1]}`",
        "input": f"{side} x {side} pixels, RGB: {rules or 'of no rule that is known'}",
        "weights": f"{bits:,} of 1 bit, {cost['parameters'] - bits:,} other numbers",
        "products a picture": f"{products / 1e6:.0f} million of 1 bit, {real / 1e6:.0f} million of real numbers",
        "sure": _sure(said.calibration),
        "training": f"{header['trained']['steps']:,} steps on {', '.join(header['trained']['data'])}",
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


def _things(said: Description) -> str:
    return "sizes" if said.finds else "classes" if said.parts else "points"


def _sure(found: Calibration | None) -> str:
    """What its confidence tells."""
    if found is None or found.threshold is None:
        return "its confidence does not tell"
    right, wrong = 100 * found.right, 100 * (1 - found.wrong)
    crops = f"{right:.1f} % of {found.crops} right crops of its training set, and {wrong:.1f} % of wrong ones"
    return f"from a confidence of {found.threshold} on: so are {crops}"


def main(arguments: list[str]) -> int:
    """The exit code."""
    for path in sorted(MODELS.glob("*.safetensors")):
        card = CARDS / f"{path.stem}.md"
        if not card.exists():
            print(f"error: there is no {card.relative_to(ROOT)}: copy docs/models/TEMPLATE.md", file=sys.stderr)
            return 1
        old = card.read_text(encoding="utf-8")
        before, begin, rest = old.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            print(f"error: {card.relative_to(ROOT)} has no place for facts: {BEGIN} and {END}", file=sys.stderr)
            return 1
        new = f"{before}{BEGIN}\n\n{facts(path)}\n\n{END}{after}"
        if old != new and "--check" in arguments:
            print(f"error: {card.relative_to(ROOT)} is out of date: run python docs/cards.py", file=sys.stderr)
            return 1
        if old != new:
            card.write_text(new, encoding="utf-8", newline="\n")
            print(f"wrote {card.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
