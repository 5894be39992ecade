"""Put a trained model into the package, or the figures of the quality evaluation into the card of the one there.

python -m training.ship training-run/model     the model, with what is to be known of the photos it was trained on
make quality ARGS=--write-docs                 measures it
python -m training.ship                        the figures, from benchmarks/results/quality.json
"""

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from neardup.descriptors.copynet import BODY, CARD, HEAD

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = ROOT / "neardup/descriptors/weights"
RESULTS = ROOT / "benchmarks/results/quality.json"
ABOUT: dict[str, Any] = {
    "data": {
        "photos": "three quarters of 21,916 photos of 100 pixels and more, near duplicates removed; the other quarter, "
        "by a hash of the file's name, and 650 larger photos were never trained on",
        "sources_and_licences": {
            "alexeygrigorev/clothing-dataset": "CC0",
            "thunderInfy/imagenette": "ImageNet research terms",
            "jaaumeadrover/Landscape-Image-Classification": "none stated",
            "Jaimin09/CNN---Image-Classification": "none stated",
            "singh-atenekom/image-retrieval": "none stated",
        },
        "drawn": "one for eight photos: pages, forms, charts, gradients, shapes, nights, fogs (training/drawn.py)",
        "in_the_package": "no photo, nor any part of one",
    },
    "limits": [
        "Trained on photos of things, garments, animals, rooms and landscapes: no faces, no medical or aerial images.",
        "Elsewhere let the bootstrap calibrate the radius, and look at its report.",
        "Captions, logos and frames are no news to it. Two pages or charts of one layout may pass for copies: use dct.",
        "For cameras use dct: a visitor in the corner is an overlay to this descriptor.",
        "It describes what a picture shows as a whole. A picture pasted into a small part of another is not found.",
    ],
}


def main() -> None:
    """Copy the model, or renew the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?", help="folder that make train wrote")
    given = parser.parse_args()
    if given.model is None:
        _write({**_card(WEIGHTS), "quality": figures(json.loads(RESULTS.read_text("utf-8")))})
        return
    if not (given.model / CARD).is_file():
        sys.exit(f"no {CARD} in {given.model}: name the folder that make train wrote")
    WEIGHTS.mkdir(exist_ok=True)
    for name in (BODY, HEAD):
        shutil.copyfile(given.model / name, WEIGHTS / name)
    _write({**_card(given.model), **ABOUT})


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Return what a card tells of a quality evaluation: recall at one false pair in a million, and the threshold."""
    rate = next(tool["at_rate"] for tool in results["tools"] if tool["tool"] == "copynet")
    return {
        "threshold": round(rate["threshold"], 4),
        "pairs": rate["pairs"],
        "recall": {name: round(share, 4) for name, share in rate["recall"].items()},
    }


def _card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((folder / CARD).read_text("utf-8"))
    return card


def _write(card: dict[str, Any]) -> None:
    (WEIGHTS / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
