"""Tables of whole settings, `beyond` and `layouts`, made from the JSON of a run."""

from typing import Any

import numpy as np

from benchmarks.pages import share, table
from benchmarks.quality.halves import HALVES


def beyond_tables(figures: dict[str, Any]) -> dict[str, str]:
    """Return the tables of `benchmarks.quality.beyond.evaluate_beyond` by name."""
    return {
        "beyond run": _beyond_run(figures),
        "beyond": _means(figures),
        "beyond kinds": _kinds(figures),
        "beyond false pairs": _false_pairs(figures),
    }


def layout_tables(figures: dict[str, Any]) -> dict[str, str]:
    """Return the tables of `benchmarks.quality.layouts.evaluate_layouts` by name."""
    return {
        "layouts run": f"{figures['pictures']} pictures of each class, seed {figures['seed']}; {_told(figures)}.",
        "layouts": _layout_means(figures),
        "layout classes": _layout_classes(figures),
    }


def _beyond_run(figures: dict[str, Any]) -> str:
    counts = " and ".join(f"{count:,} of the half *{half}*" for half, count in figures["photos"].items())
    return f"Photos copied: {counts}, seed {figures['seed']}; {_told(figures)}."


def _told(figures: dict[str, Any]) -> str:
    """Say what each setting is."""
    return "; ".join(_setting_told(setting) for setting in figures["settings"])


def _setting_told(setting: dict[str, Any]) -> str:
    left_out = {"setting", "descriptor", "recall", "false_pairs", "classes"}
    rest = {key: value for key, value in setting.items() if key not in left_out and value not in (None, False)}
    told = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in rest.items())
    return f"`{setting['setting']}` is `{setting['descriptor']}`, {told}"


def _names(figures: dict[str, Any]) -> list[str]:
    return [f"`{setting['setting']}`" for setting in figures["settings"]]


def _means(figures: dict[str, Any]) -> str:
    body = [
        [key, str(len(kinds)), half, *(_mean_recall(setting, half, key) for setting in figures["settings"])]
        for key, kinds in figures["kinds"].items()
        for half in HALVES
    ]
    return table(["kinds", "of them", "photos", *_names(figures)], body)


def _mean_recall(setting: dict[str, Any], half: str, key: str) -> str:
    shares = setting["recall"].get(half)
    return share(None if shares is None else float(np.mean(list(shares[key].values()))))


def _kinds(figures: dict[str, Any]) -> str:
    """Show each kind of the further lists; the listed ones have a table of their own."""
    body = [
        [f"`{name}`", key, text, *(_both_halves(setting, key, name) for setting in figures["settings"])]
        for key, kinds in figures["kinds"].items()
        if key != "listed"
        for name, text in kinds.items()
    ]
    return table(["kind", "list", "what it does", *_names(figures)], body)


def _both_halves(setting: dict[str, Any], key: str, name: str) -> str:
    return " / ".join(
        share(setting["recall"][half][key][name] if half in setting["recall"] else None) for half in HALVES
    )


def _false_pairs(figures: dict[str, Any]) -> str:
    settings = figures["settings"]
    body = []
    for group, halves in settings[0]["false_pairs"].items():
        for half, counted in halves.items():
            false = [_false(setting["false_pairs"][group][half]) for setting in settings]
            body.append([group, half, f"{counted['images']:,}", f"{counted['pairs']:,}", *false])
    return table(["images", "half", "of them", "pairs", *_names(figures)], body)


def _false(counted: dict[str, int]) -> str:
    a_million = 1e6 * counted["false"] / counted["pairs"] if counted["pairs"] else 0.0
    return f"{counted['false']:,} ({a_million:.2f})"


def _layout_means(figures: dict[str, Any]) -> str:
    body = []
    for key, classes in figures["texts"].items():
        cells = []
        for setting in figures["settings"]:
            shares = setting["classes"][key]
            worst = max(shares, key=lambda name: shares[name]["false"])
            false, found = (float(np.mean([each[what] for each in shares.values()])) for what in ("false", "found"))
            cells.append(f"{share(false)} / {share(found)}, `{worst}` {share(shares[worst]['false'])}")
        body.append([key, str(len(classes)), *cells])
    return table(["classes", "of them", *(f"{name}: false / found, worst" for name in _names(figures))], body)


def _layout_classes(figures: dict[str, Any]) -> str:
    body = [
        [f"`{name}`", key, text, *(_false_and_found(setting["classes"][key][name]) for setting in figures["settings"])]
        for key, texts in figures["texts"].items()
        for name, text in texts.items()
    ]
    return table(["class", "list", "what tells two apart", *_names(figures)], body)


def _false_and_found(shares: dict[str, float]) -> str:
    return f"{share(shares['false'])} / {share(shares['found'])}"
