"""Look at an export as a data frame: how many pictures repeat, which groups are largest, what to keep of each.

    pip install pandas pyarrow
    neardup export verdicts.jsonl --format parquet --which all --output verdicts.parquet
    python examples/exported_groups.py verdicts.parquet to-label.csv

The table has a row for each picture (docs/labelling.md). `group` is the same for a unique picture and all that repeat
it.
"""

import sys

import pandas as pd


def summary(table: pd.DataFrame) -> str:
    """Return how many repeat, and the largest groups."""
    sizes = table.groupby("group").size().sort_values(ascending=False, kind="stable")
    repeated = (table["verdict"] == "duplicate").mean()
    lines = [f"{len(table)} pictures, {repeated:.0%} repeat another, {(sizes > 1).sum()} groups"]
    lines += [f"  {group}: {size} pictures" for group, size in sizes[sizes > 1].head(5).items()]
    return "\n".join(lines)


def main() -> None:
    """Print the summary, and write one row of each group: of those that are alike, the one with the most pixels."""
    table = pd.read_parquet(sys.argv[1])
    print(summary(table))
    pixels = (table["width"] * table["height"]).fillna(0)
    best = table.assign(pixels=pixels).sort_values("pixels", ascending=False, kind="stable").groupby("group").head(1)
    best.sort_index()[["image_id", "image", "group"]].to_csv(sys.argv[2], index=False)


if __name__ == "__main__":
    main()
