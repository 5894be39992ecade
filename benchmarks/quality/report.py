"""Tables, plots, contact sheets and the figures in the docs, all made from the JSON of a run."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from benchmarks.pages import share, table
from benchmarks.quality.low_texture import CLASSES, DRAWN
from benchmarks.quality.setting_tables import beyond_tables, layout_tables
from benchmarks.quality.transforms import BLACK, CORE, TRANSFORMS, WHITE, Transform, font, make_copy, photo_seed
from neardup.decoding.decode import decode

BEGIN, END = "<!-- figures {}: written by make quality -->", "<!-- end of figures -->"
TILE_PX = (220, 190)


# --- tables, as Markdown ---


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the tables of a run by name, as Markdown; of parts that were not run, none."""
    return {
        **(_tool_tables(results) if "tools" in results else {}),
        **(beyond_tables(results["beyond"]) if "beyond" in results else {}),
        **(layout_tables(results["layouts"]) if "layouts" in results else {}),
    }


def _tool_tables(results: dict[str, Any]) -> dict[str, str]:
    held_out = results.get("held_out", [])
    return {
        "overview": _overview(results),
        "held out": _held_out(held_out),
        "recall": _recall(results["tools"], "at_rate"),
        "recall held out": _recall(held_out, "at_rate"),
        "recall at default": _recall(results["tools"], "at_default"),
        "low texture": _low_texture(results, CLASSES),
        "drawn": _low_texture(results, DRAWN),
        "clips": _clips(results),
    }


def _ms(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f}"


def _threshold(tool: dict[str, Any], value: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.0f}" if tool["unit"] == "bits" else f"{value:.4g}"


def _overview(results: dict[str, Any]) -> str:
    head = [
        "tool",
        "bytes",
        "default",
        "recall of 20 at default",
        "false pairs at default",
        "threshold at 1e-6",
        "rate it really has",
        "pairs",
        "recall of 20",
        "recall of 22",
        "recall beyond",
        "recall at 99.9 % precision",
        "best F1",
        "clothing pairs within, default / 1e-6 / of",
        "CPU ms: one / one of 32 / decoding / one with decoding",
    ]
    return table(head, [_overview_row(tool) for tool in results["tools"]])


def _overview_row(tool: dict[str, Any]) -> list[str]:
    rate, default, cpu = tool["at_rate"], tool["at_default"], tool["cpu_ms"]
    shares = rate["recall"]
    return [
        f"`{tool['tool']}`",
        f"{tool['member_bytes']:,}",
        _threshold(tool, tool["default"]),
        "none" if default["recall"] is None else share(default["recall"]["core20"]),
        "none" if default["false_pairs"] is None else f"{default['false_pairs']:,}",
        _threshold(tool, rate["threshold"]),
        f"{rate['rate']:.1e}",
        f"{rate['pairs']:,}",
        *(share(shares[key]) for key in ("core20", "core22", "beyond")),
        share(tool["precision_recall"]["recall_at_999"]),
        f"{tool['precision_recall']['best_f1']:.3f}",
        _clothing(tool["hard_negatives"]),
        " / ".join(_ms(cpu.get(key)) for key in ("describe", "describe_in_32", "decode", "with_decode")),
    ]


def _clothing(counts: dict[str, int | None]) -> str:
    found = [counts[key] for key in ("at_default", "at_rate", "pairs")]
    return " / ".join("none" if count is None else f"{count:,}" for count in found)


def _held_out(tools: list[dict[str, Any]]) -> str:
    head = [
        "tool",
        "photos copied",
        "pairs",
        "default",
        "false pairs at default",
        "threshold at 1e-6",
        "false pairs at 1e-6",
        "recall of 20",
        "recall of 22",
        "recall beyond",
        "`crop20`",
        "`rotate90`",
        "recall at 99.9 % precision",
        "clothing pairs within, default / 1e-6 / of",
    ]
    return table(head, [_held_out_row(tool) for tool in tools])


def _held_out_row(tool: dict[str, Any]) -> list[str]:
    rate, by_default = tool["at_rate"], tool["at_default"]["false_pairs"]
    return [
        f"`{tool['tool']}`",
        f"{tool['photos']:,}",
        f"{rate['pairs']:,}",
        _threshold(tool, tool["default"]),
        "none" if by_default is None else f"{by_default:,}",
        _threshold(tool, rate["threshold"]),
        f"{rate['false_pairs']:,}",
        *(share(rate["recall"][key]) for key in ("core20", "core22", "beyond", "crop20", "rotate90")),
        share(tool["precision_recall"]["recall_at_999"]),
        _clothing(tool["hard_negatives"]),
    ]


def _recall(every: list[dict[str, Any]], key: str) -> str:
    tools = [tool for tool in every if tool[key]["recall"] is not None]
    body = [
        [f"`{name}`", transform.kind, *(share(tool[key]["recall"][name]) for tool in tools)]
        for name, transform in TRANSFORMS.items()
    ]
    return table(["transform", "kind", *(f"`{tool['tool']}`" for tool in tools)], body)


def _low_texture(results: dict[str, Any], classes: Iterable[str]) -> str:
    """Show the default, or the 1e-6 point where a tool ships none."""
    body = []
    for name in classes:
        cells = []
        for tool in results["tools"]:
            row = tool["low_texture"]["at_rate" if tool["default"] is None else "at_default"][name]
            cells.append(f"{share(row['false'])} / {share(row['found'])}")
        body.append([f"`{name}`", *cells])
    return table(["class", *(f"`{tool['tool']}`" for tool in results["tools"])], body)


def _clips(results: dict[str, Any]) -> str:
    body = [
        [
            f"`{clip}`",
            f"{row['frames']}",
            f"{row['seconds']:.2f}",
            *(f"{row[key]:.3f}" for key in ("p5", "median", "p95")),
            share(row.get("within_default")),
        ]
        for clip, rows in results["clips"].items()
        for row in rows
    ]
    return table(["clip", "frames apart", "seconds", "5 %", "median", "95 %", "within the default, %"], body)


def plain(results: dict[str, Any]) -> str:
    """Return the tables for a terminal."""
    return "\n\n".join(f"{name}\n{text}" for name, text in tables(results).items())


# --- the docs ---


def with_figures(page: str, results: dict[str, Any]) -> str:
    """Return a page with what stands between its marks replaced by the tables of a run.

    Raises
    ------
    ValueError
        A mark has no end.
    """
    run = {"run": _run(results)} if "tools" in results else {}
    for name, text in {**tables(results), **run}.items():
        begin = BEGIN.format(name)
        if begin in page:
            before, _, rest = page.partition(begin)
            _, end, after = rest.partition(END)
            if not end:
                raise ValueError(f"no {END} after {begin}")
            page = f"{before}{begin}\n\n{text}\n\n{END}{after}"
    return page


def _run(results: dict[str, Any]) -> str:
    return (
        f"`{results['command']}`: {results['photos']:,} photos with {len(TRANSFORMS)} copies each "
        f"({len(CORE)} of the core list), false pairs among {results['different_photos']:,} photos, "
        f"{results['low_texture_pictures']} pictures of each class without texture, seed {results['seed']}."
    )


# --- plots ---


def plot(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw precision and recall, recall by transform, and the distances of the clips; return the files."""
    import matplotlib as mpl  # noqa: PLC0415 - drawn only where asked for

    mpl.use("agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - after the choice of what draws

    drawn = []
    for name, draw in {"precision": _draw_precision, "recall": _draw_recall, "clips": _draw_clips}.items():
        figure, axes = plt.subplots(figsize=(9, 4.5), layout="constrained")
        draw(axes, results)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        drawn.append(folder / f"quality-{name}.png")
        figure.savefig(drawn[-1], dpi=90)
        plt.close(figure)
    return drawn


def _draw_precision(axes: Any, results: dict[str, Any]) -> None:  # noqa: ANN401 - matplotlib has no types
    for tool in results["tools"]:
        points = sorted(tool["precision_recall"]["points"], key=lambda point: point[1])
        axes.plot([point[1] for point in points], [point[0] for point in points], label=tool["tool"])
    axes.set(xlabel="recall of 20 transforms", ylabel="precision", xlim=(0.5, 1.0), ylim=(0.9, 1.002))


def _draw_recall(axes: Any, results: dict[str, Any]) -> None:  # noqa: ANN401
    for tool in results["tools"]:
        shares = [tool["at_rate"]["recall"][name] for name in TRANSFORMS]
        axes.plot(range(len(shares)), shares, "o-", markersize=3, linewidth=0.4, label=tool["tool"])
    axes.set_xticks(range(len(TRANSFORMS)), TRANSFORMS, rotation=90, fontsize=8)
    axes.set(ylabel="recall at one false pair in a million", ylim=(-0.02, 1.02))


def _draw_clips(axes: Any, results: dict[str, Any]) -> None:  # noqa: ANN401
    for clip, rows in results["clips"].items():
        seconds = [row["seconds"] for row in rows]
        [line] = axes.plot(seconds, [row["median"] for row in rows], "o-", markersize=3, label=clip)
        axes.fill_between(
            seconds, [row["p5"] for row in rows], [row["p95"] for row in rows], color=line.get_color(), alpha=0.15
        )
    default = next((tool["default"] for tool in results["tools"] if tool["tool"] == results["clips_by"]), None)
    if default is not None:
        axes.axhline(default, color="black", linestyle="--", linewidth=0.8, label="default radius")
    axes.set(xscale="log", xlabel="seconds between the frames", ylabel=f"distance of {results['clips_by']}")


# --- contact sheets: photos, so never inside the project's tracked files ---


def write_sheets(sheets: dict[str, Any], seed: int, folder: Path, among: Mapping[str, Transform] | None = None) -> None:
    """Write for each tool its nearest false pairs and its farthest misses, two pictures a cell.

    `among` is the list that has the transforms of what is missed: `TRANSFORMS` if not told.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for tool, found in sheets.items():
        false = [(left.read_bytes(), right.read_bytes(), f"{far:.3f}") for far, left, right in found["false"]]
        misses = [
            (file.read_bytes(), _copy(file, name, seed, among), f"{name} {far:.3f}")
            for far, file, name in found["misses"]
        ]
        for kind, cells in {"false": false, "misses": misses}.items():
            _sheet(cells).save(folder / f"{tool.replace(':', '-').replace('/', '-')}-{kind}.png")


def _copy(file: Path, name: str, seed: int, among: Mapping[str, Transform] | None) -> bytes:
    return make_copy(name, Image.fromarray(decode(file.read_bytes())), photo_seed(seed, file.name), among)


def _sheet(cells: list[tuple[bytes, bytes, str]]) -> Image.Image:
    columns, (wide, high) = 4, (2 * TILE_PX[0] + 10, TILE_PX[1])
    sheet = Image.new("RGB", (columns * wide, max(1, -(-len(cells) // columns)) * high), WHITE)
    draw = ImageDraw.Draw(sheet)
    for number, (left, right, text) in enumerate(cells):
        x, y = number % columns * wide, number // columns * high
        for offset, data in ((0, left), (TILE_PX[0], right)):
            with Image.open(io.BytesIO(data)) as image:
                small = image.convert("RGB")
            small.thumbnail((TILE_PX[0] - 6, TILE_PX[1] - 20))
            sheet.paste(small, (x + offset, y + 18))
        draw.text((x, y + 2), text, BLACK, font(12))
    return sheet
