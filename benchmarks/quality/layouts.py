"""How a whole setting does on drawn pictures of one layout: how many different ones it calls duplicates.

The classes of `low_texture.LAYOUTS` are for choices, those of `held_out_layouts` for reporting.
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

from benchmarks.quality.evaluate import say
from benchmarks.quality.held_out_layouts import HELD_OUT_LAYOUTS
from benchmarks.quality.low_texture import LAYOUTS, LowTexture, layout_edits, picture
from benchmarks.quality.setting import Setting, compared, count_pairs, described, duplicate_pairs, is_found
from benchmarks.quality.transforms import jpeg, photo_seed

CLASSES: dict[str, dict[str, LowTexture]] = {"for choices": LAYOUTS, "held out": HELD_OUT_LAYOUTS}
PICTURES = 40


def _judged_class(
    settings: Sequence[Setting], seed: int, pictures: int, item: tuple[str, str]
) -> list[dict[str, float]]:
    """Return for each setting the share of pairs called duplicates, and of edits found, of one class."""
    key, name = item
    images = [picture(name, number, seed, among=CLASSES[key]) for number in range(pictures)]
    copies = [layout_edits(image, photo_seed(seed, f"{name}/{number}")) for number, image in enumerate(images)]
    return [_judged(setting, [jpeg(image) for image in images], copies) for setting in settings]


def _judged(setting: Setting, originals: Sequence[bytes], copies: Sequence[Sequence[bytes]]) -> dict[str, float]:
    stored = described(setting, originals)
    found = [
        is_found(compared(setting, copy, original))
        for original, own in zip(stored, copies, strict=True)
        for copy in described(setting, own)
    ]
    false = len(duplicate_pairs(setting, stored)) / count_pairs(len(stored))
    return {"false": false, "found": sum(found) / len(found)}


def evaluate_layouts(settings: Sequence[Setting], seed: int, workers: int, pictures: int = PICTURES) -> dict[str, Any]:
    """Return the figures as JSON would hold them."""
    items = [(key, name) for key, classes in CLASSES.items() for name in classes]
    with ProcessPoolExecutor(workers) as pool:
        judged = list(pool.map(partial(_judged_class, settings, seed, pictures), items))
    say(f"{len(items)} classes of one layout, {pictures} pictures of each")
    figures = []
    for index, setting in enumerate(settings):
        shares: dict[str, Any] = {key: {} for key in CLASSES}
        for (key, name), own in zip(items, judged, strict=True):
            shares[key][name] = own[index]
        figures.append({**setting.facts, "classes": shares})
    texts = {key: {name: kind.text for name, kind in classes.items()} for key, classes in CLASSES.items()}
    return {"pictures": pictures, "seed": seed, "texts": texts, "settings": figures}
