"""Folders nested so deeply that the innermost have no path that may be used."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NAME = "deep"
_LEVELS = 1100
"""More than Python's stack has, and with this name more than a path may be long."""


@contextmanager
def deep_folder(root: Path) -> Iterator[None]:
    """Make them with a file in the innermost, and remove them in the end, from inside out."""
    with standing_in(root):
        for _ in range(_LEVELS):
            Path(NAME).mkdir()
            os.chdir(NAME)
        Path("lost.jpg").touch()
    try:
        yield
    finally:
        with standing_in(root):
            for _ in range(_LEVELS):
                os.chdir(NAME)
            Path("lost.jpg").unlink()
            for _ in range(_LEVELS):
                os.chdir("..")
                Path(NAME).rmdir()


@contextmanager
def standing_in(folder: Path) -> Iterator[None]:
    """Change the working directory for a while."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
