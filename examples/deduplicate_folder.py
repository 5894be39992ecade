"""Find the duplicates in a folder, and move them aside. Nothing is deleted.

    pip install .
    python examples/deduplicate_folder.py photos              # only tell
    python examples/deduplicate_folder.py photos repeats      # and move the duplicates to the folder `repeats`

Of each group the first picture stays, in the order of the names. Look at what was moved before you delete it: a picture
that is a duplicate to neardup may be the sharper one to you (docs/library.md has more).
"""

import shutil
import sys
from pathlib import Path

import neardup


def move(picture: Path, folder: Path, aside: Path) -> None:
    """Move a picture to the same place below another folder."""
    target = aside / picture.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(picture, target)


def main(folder: Path, aside: Path | None) -> None:
    """Tell each group; move its duplicates if there is somewhere to."""
    for group in neardup.find_duplicates(folder):
        print(f"{group.kept} stays")
        for duplicate in group.duplicates:
            print(f"  {duplicate.image} repeats it, distance {duplicate.distance:.3f}")
            if aside:
                move(folder / duplicate.image, folder, aside)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)  # noqa: PLR2004 - the second is optional
