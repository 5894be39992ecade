"""The tools for the generation before, which is kept for a while: ``neardup index rollback|release``.

Exit codes as in `bootstrap.index`. Both may be done while consumers run, and both change the index.
"""

from collections.abc import Iterator

from bootstrap.index_settings import RollbackSettings, StatsSettings
from bootstrap.tool import Document, changing, client_of, mebibytes, refusal, retention_of, table, written
from neardup.wording import counted


def rollback(settings: RollbackSettings) -> int:
    """Make the previous generation live again; return the exit code."""
    from bootstrap.live import rollback as rolling  # noqa: PLC0415 - numpy and redis-py: not for --help

    with changing(logged=not settings.dry_run):
        document = rolling.rollback(
            client_of(settings),
            settings.index,
            keep_ms=settings.keep_ms,
            retention=retention_of(settings),
            allow_dropping=settings.allow_dropping,
            dry_run=settings.dry_run,
        )
    return written(settings, document, _rollback_lines)


def release(settings: StatsSettings) -> int:
    """Remove the previous generation; return the exit code."""
    from bootstrap.live import rollback as rolling  # noqa: PLC0415 - as above

    with changing():
        released = rolling.release(client_of(settings), settings.index)
    return written(settings, released, _release_lines)


def _rollback_lines(document: Document) -> Iterator[str]:
    added, dry_run, newer = document["added"], document["dry_run"], f"generation {document['instead_of']}"
    yield from table(
        [
            ("index", document["index"]),
            ("would be live" if dry_run else "live again", f"generation {document['generation']}"),
            ("instead of", newer),
            ("members", document["members"]),
            ("back", f"{document['back']} that {newer} did not have"),
            ("gone", f"{document['gone']} that came with {newer}"),
            ("removed", f"{document['removed']} on request, which stay away"),
            ("added since", f"{added['all']} by consumers: {added['carried']} carried over"),
            ("", f"{added['duplicates']} alike to members that are back, left out"),
            ("", f"{added['lost']} lost"),
            ("changed", ", ".join(document["changed"]) or "no settings"),
        ]
    )
    if document["stops_consumers"]:
        yield "Consumers that run with the other descriptor stop with exit code 2: start them again."
    yield from refusal(document)


def _release_lines(document: Document) -> Iterator[str]:
    if document["released"] is None:
        yield f"index {document['index']} has no previous generation: nothing to release"
        return
    yield from table(
        [
            ("index", f"{document['index']}, generation {document['generation']}"),
            ("released", f"generation {document['released']}, {counted(document['members'], 'member')}"),
            ("freed", mebibytes(document["freed_bytes"])),
        ]
    )
