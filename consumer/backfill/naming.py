"""Which files, objects and members of archives count as images, by their names."""

from collections import Counter
from pathlib import PurePosixPath

from consumer.backfill.settings import IMAGE_SUFFIXES
from neardup.sources.walking import unwanted

_MOST_KINDS = 50
_OTHERS = "others"


class Wanted:
    """Says which names are images', and counts what is passed over.

    Parameters
    ----------
    suffixes
        Ends of names, in lower case with their dot; none for every name, None for those of the usual formats.

    Attributes
    ----------
    passed_over
        How many names were passed over, by what they are.
    """

    def __init__(self, suffixes: tuple[str, ...] | None) -> None:
        self.passed_over: Counter[str] = Counter()
        self._suffixes = frozenset(IMAGE_SUFFIXES if suffixes is None else suffixes)

    def takes(self, name: str) -> bool:
        """Return whether a path is an image's, by its name and those of its folders."""
        found = self._why_not(PurePosixPath(name))
        if found:
            known = found in self.passed_over or len(self.passed_over) < _MOST_KINDS
            self.passed_over[found if known else _OTHERS] += 1
        return not found

    def _why_not(self, path: PurePosixPath) -> str:
        if found := unwanted(*path.parts):
            return found
        suffix = path.suffix.lower()
        if not self._suffixes or suffix in self._suffixes:
            return ""
        return f"*{suffix}" if suffix.isascii() and suffix.isprintable() and suffix else "without a suffix"

    def told(self) -> str:
        """Return what was passed over, in words; empty for nothing."""
        return ", ".join(f"{name} ({count})" for name, count in sorted(self.passed_over.items()))
