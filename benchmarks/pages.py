"""Tables of a page that come from a file of results: between marks, so that a test can hold them to it."""

from collections.abc import Mapping, Sequence

BEGIN, END = "<!-- figures {} -->\n", "<!-- end -->"


def with_tables(page: str, tables: Mapping[str, str]) -> str:
    """Return the page with each table in its place.

    Raises
    ------
    ValueError
        A place is missing, or its end is.
    """
    for name, table in tables.items():
        before, begin, rest = page.partition(BEGIN.format(name))
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise ValueError(f"the page has no place for {name}: {BEGIN.format(name)}{END}")
        page = f"{before}{begin}{table}\n{end}{after}"
    return page


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown."""
    rule = "|" + "---|" * len(head)
    return "\n".join(["| " + " | ".join(head) + " |", rule, *("| " + " | ".join(row) + " |" for row in body)])


def share(value: float | None) -> str:
    """Return a share as percent, with one decimal; None, which nobody measured, as ``none``."""
    return "none" if value is None else f"{100 * value:.1f}"
