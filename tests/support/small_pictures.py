"""A folder of small generated photos, as the library's page and docstrings show them."""

from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.pictures import generated


def make_photos(folder: Path) -> Path:
    """Make the folder: a cat, it mirrored, it at half the size, a dog, and what is no image."""
    folder.mkdir()
    cat, dog = Image.fromarray(generated(1)), Image.fromarray(generated(2))
    cat.save(folder / "cat.jpg", quality=92)
    Image.fromarray(np.ascontiguousarray(generated(1)[:, ::-1])).save(folder / "cat_mirrored.jpg", quality=92)
    cat.resize((100, 75)).save(folder / "cat_small.jpg", quality=92)
    dog.save(folder / "dog.jpg", quality=92)
    (folder / "notes.txt").write_bytes(b"not an image")
    return folder
