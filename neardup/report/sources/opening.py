"""Opens what a person names: a file of verdicts, or the folder of a bootstrap's report."""

from pathlib import Path

from neardup.errors import Misconfigured
from neardup.report.sources.files import Files
from neardup.report.sources.run import RunSource
from neardup.report.sources.seeds import SEEDS_FILE, SeedsSource

_VERDICTS = "verdicts.jsonl"


def open_source(path: Path, files: Files, asked_by: str) -> RunSource | SeedsSource:
    """Return the source at a path.

    Parameters
    ----------
    path
        A file of verdicts; or what a bootstrap has written of its seeds; or a folder that has either.
    files
        Reads the images.
    asked_by
        The setting that names it, for messages.

    Raises
    ------
    Misconfigured
        There is none.
    """
    try:
        path.stat()
    except (OSError, ValueError) as exc:
        raise Misconfigured(f"{asked_by}: cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
    if path.is_dir():
        found = [path / name for name in (SEEDS_FILE, _VERDICTS) if (path / name).exists()]
        if not found:
            raise Misconfigured(f"{asked_by}: there is neither a {_VERDICTS} nor a {SEEDS_FILE} in {path}")
        path = found[0]
    return SeedsSource(path, files) if path.name == SEEDS_FILE else RunSource(path, files)
