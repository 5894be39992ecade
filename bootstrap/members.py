"""The tools that are about members of a live index, or about all of them.

``neardup index duplicates|explain|remove|set-radius|rebuild|export|copy-to``; exit codes as in `bootstrap.index`. All
of it may be done while consumers run. ``remove``, ``set-radius`` and ``rebuild`` change the index, ``copy-to`` makes
another; the rest reads.
"""

import getpass
import logging
import os
import socket

from bootstrap.index_settings import (
    CopySettings,
    ExplainSettings,
    ExportSettings,
    RebuildSettings,
    RemoveSettings,
    SetRadiusSettings,
    ShowSettings,
)
from bootstrap.member_lines import (
    copy_lines,
    duplicates_lines,
    explain_lines,
    export_lines,
    rebuild_lines,
    remove_lines,
    set_radius_lines,
)
from bootstrap.tool import changing, client_of, generation_of, retention_of, written
from neardup.cli.progress import shown_progress


def duplicates(settings: ShowSettings) -> int:
    """Print what is known of a member's duplicates; return the exit code."""
    from bootstrap.live import explaining  # noqa: PLC0415 - numpy and redis-py: not for --help

    return written(settings, explaining.duplicates(generation_of(settings), settings.target), duplicates_lines)


def explain(settings: ExplainSettings) -> int:
    """Print how one image differs from another; return the exit code."""
    from bootstrap.live import explaining  # noqa: PLC0415 - as above

    picture = None
    if settings.picture is not None:
        picture = explaining.Picture(settings.picture, (settings.image_a, settings.image_b))
    explained = explaining.explain(
        generation_of(settings),
        settings.image,
        settings.other,
        weights=settings.weights,
        descriptor=settings.descriptor,
        picture=picture,
    )
    return written(settings, explained, explain_lines)


def remove(settings: RemoveSettings) -> int:
    """Remove members; return the exit code."""
    from bootstrap.live import removal  # noqa: PLC0415 - as above

    by = settings.by or _user()
    with changing(logged=not settings.dry_run):
        removed = removal.remove(
            client_of(settings), settings.index, settings.names, by, save=settings.save, dry_run=settings.dry_run
        )
    return written(settings, removed, remove_lines)


def set_radius(settings: SetRadiusSettings) -> int:
    """Give the index another radius; return the exit code."""
    from bootstrap.live import radius  # noqa: PLC0415 - as above

    with changing(logged=not settings.dry_run):
        changed = radius.set_radius(
            client_of(settings),
            settings.index,
            settings.radius,
            _user(),
            keep_ms=settings.keep_ms,
            allow_dropping=settings.allow_dropping,
            dry_run=settings.dry_run,
        )
    return written(settings, changed, set_radius_lines)


def rebuild(settings: RebuildSettings) -> int:
    """Make a new generation of the descriptors in a topic; return the exit code."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # we report failures ourselves, in one line
    from bootstrap.generation import rebuilding  # noqa: PLC0415 - as above

    with changing(logged=not settings.dry_run):
        rebuilt = rebuilding.rebuild(
            client_of(settings),
            settings.index,
            settings,
            settings.from_topic,
            _user(),
            radius=settings.radius,
            retention=retention_of(settings),
            keep_ms=settings.keep_ms,
            allow_dropping=settings.allow_dropping,
            dry_run=settings.dry_run,
            shown=shown_progress,
        )
    return written(settings, rebuilt, rebuild_lines)


def export(settings: ExportSettings) -> int:
    """Write the index to a file; return the exit code."""
    from bootstrap.live import copies  # noqa: PLC0415 - as above

    return written(settings, copies.export(generation_of(settings), settings.file), export_lines)


def copy_to(settings: CopySettings) -> int:
    """Copy the index to another Redis; return the exit code."""
    from bootstrap.live import copies  # noqa: PLC0415 - as above
    from neardup.index.stored.connection import connect  # noqa: PLC0415 - as above

    target = connect(settings.target_url, settings.target_password)
    name = settings.target_index or settings.index
    with changing():
        copied = copies.copy_to(
            client_of(settings),
            settings.index,
            target,
            name,
            _user(),
            overwrite=settings.overwrite,
            keep_ms=settings.keep_ms,
            shown=shown_progress,
        )
    return written(settings, copied, copy_lines)


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that it has no name for
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"
