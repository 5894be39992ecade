"""Decide, for each image, whether one like it was seen before.

As a library: `describe` images, `compare` two, `find_duplicates` in a folder, or keep an `Index` in memory
(docs/library.md). The service (`consumer`) and the batch job (`bootstrap`) are built on the same core. Its names are
loaded when they are first used: importing this package loads neither numpy nor Pillow.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neardup.errors import (
        BadInput,
        CorruptIndex,
        IndexMismatch,
        Misconfigured,
        NeardupError,
        Unavailable,
    )
    from neardup.library.answers import Answer
    from neardup.library.comparing import compare
    from neardup.library.describing import describe
    from neardup.library.duplicates import find_duplicates
    from neardup.library.groups import Duplicate, FoundDuplicates, Group, Unreadable
    from neardup.library.images import ImageLike
    from neardup.library.index import Index
    from neardup.relation.comparison import Comparison
    from neardup.relation.edit import Edit
    from neardup.types import Symmetry, Verdict

__all__ = [
    "Answer",
    "BadInput",
    "Comparison",
    "CorruptIndex",
    "Duplicate",
    "Edit",
    "FoundDuplicates",
    "Group",
    "ImageLike",
    "Index",
    "IndexMismatch",
    "Misconfigured",
    "NeardupError",
    "Symmetry",
    "Unavailable",
    "Unreadable",
    "Verdict",
    "__version__",
    "compare",
    "describe",
    "find_duplicates",
]

__version__ = version("neardup")

_NAMES_OF = {
    "neardup.errors": ("BadInput", "CorruptIndex", "IndexMismatch", "Misconfigured", "NeardupError", "Unavailable"),
    "neardup.library.answers": ("Answer",),
    "neardup.library.comparing": ("compare",),
    "neardup.library.describing": ("describe",),
    "neardup.library.duplicates": ("find_duplicates",),
    "neardup.library.groups": ("Duplicate", "FoundDuplicates", "Group", "Unreadable"),
    "neardup.library.images": ("ImageLike",),
    "neardup.library.index": ("Index",),
    "neardup.relation.comparison": ("Comparison",),
    "neardup.relation.edit": ("Edit",),
    "neardup.types": ("Symmetry", "Verdict"),
}
"""Names by the module that has them; as above, for whoever reads the types."""


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # else a name that does not exist would have a type

    def __getattr__(name: str) -> object:
        """Load a public name when it is first asked for (PEP 562)."""
        for module, names in _NAMES_OF.items():
            if name in names:
                value = getattr(import_module(module), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
