"""Where the photos are that benchmarks use; they are not part of the project."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def data_folder() -> Path:
    """Return the folder with the photos, or end with a line that says how to name it."""
    folder = Path(os.environ.get("NEARDUP_DATA") or ROOT / "../shared/data").resolve()
    if not (folder / "photos_small").is_dir() or not (folder / "photos_eval").is_dir():
        sys.exit(f"no photos_small and photos_eval in {folder}: set NEARDUP_DATA")
    return folder
