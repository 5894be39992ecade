"""Look at a live index, check it, and change it: ``neardup index stats|show|...``; ``neardup index --help`` lists all.

All of it may be done while consumers run. ``repair``, ``remove`` and ``set-radius`` change the index, ``copy-to``
makes another.

Exit codes

    0    done; after verify: everything holds
    1    Redis or Kafka cannot be reached, or the index was replaced meanwhile: the same command may succeed later
    2    wrong arguments, settings or image, or no such index: a line on stderr for each
    3    verify found something that does not hold
    4    no member is called so, and nothing was changed
    130  interrupted (Ctrl-C)
    143  terminated (SIGTERM)
"""

import getpass
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bootstrap.calibration.wording import radius_origin
from bootstrap.index_settings import (
    CopySettings,
    ExplainSettings,
    ExportSettings,
    NeighboursSettings,
    RemoveSettings,
    RepairSettings,
    RetentionSettings,
    SetRadiusSettings,
    ShowSettings,
    StatsSettings,
    VerifySettings,
)
from bootstrap.member_lines import (
    copy_lines,
    decided,
    duplicates_lines,
    explain_lines,
    export_lines,
    remove_lines,
    set_radius_lines,
    table,
)
from bootstrap.termination import unwound_by_sigterm
from neardup.cli.commands import family
from neardup.cli.running import run_member

if TYPE_CHECKING:
    from bootstrap.live.reading import LiveGeneration
    from neardup.index.retention import Retention

EXIT_DOES_NOT_HOLD = 3
EXIT_NO_MEMBER = 4

Document = dict[str, Any]


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run a command and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ
    return run_member(family("index"), arguments, environ, "python -m bootstrap.index")


def stats(settings: StatsSettings) -> int:
    """Print sizes, radius and memory; return the exit code."""
    from bootstrap.live import inspection  # noqa: PLC0415 - numpy and redis-py: not for --help

    return _written(settings, "stats", inspection.stats(_generation(settings)))


def show(settings: ShowSettings) -> int:
    """Print a member; return the exit code."""
    from bootstrap.live import inspection  # noqa: PLC0415 - as above

    return _written(settings, "show", inspection.show(_generation(settings), settings.target))


def neighbours(settings: NeighboursSettings) -> int:
    """Print the members nearest to an image; return the exit code."""
    from bootstrap.live import inspection  # noqa: PLC0415 - as above

    found = inspection.neighbours(
        _generation(settings), settings.target, settings.limit, settings.weights, settings.descriptor
    )
    return _written(settings, "neighbours", found)


def verify(settings: VerifySettings) -> int:
    """Check the index; return the exit code."""
    from bootstrap.live.verify import Verification  # noqa: PLC0415 - as above

    check = Verification(
        _client(settings),
        settings.index,
        sample=settings.sample,
        max_cluster=settings.max_cluster,
        retention=_retention(settings),
    )
    return _written(settings, "verify", check.run())


def repair(settings: RepairSettings) -> int:
    """Restore what Redis lost; return the exit code."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # we report failures ourselves, in one line
    from bootstrap.live import repair as repairing  # noqa: PLC0415 - kafka-python: only when asked for
    from neardup.index.redis import RedisIndexOptions  # noqa: PLC0415 - as above

    restored = repairing.repair(
        _client(settings),
        settings.index,
        settings,
        settings.verdicts_topic,
        int((time.time() - settings.since_s) * 1000),
        options=RedisIndexOptions(max_cluster=settings.max_cluster, retention=_retention(settings)),
        dry_run=settings.dry_run,
    )
    return _written(settings, "repair", restored)


def duplicates(settings: ShowSettings) -> int:
    """Print what is known of a member's duplicates; return the exit code."""
    from bootstrap.live import explaining  # noqa: PLC0415 - as above

    return _written(settings, "duplicates", explaining.duplicates(_generation(settings), settings.target))


def explain(settings: ExplainSettings) -> int:
    """Print how one image differs from another; return the exit code."""
    from bootstrap.live import explaining  # noqa: PLC0415 - as above

    picture = None
    if settings.picture is not None:
        picture = explaining.Picture(settings.picture, (settings.image_a, settings.image_b))
    explained = explaining.explain(
        _generation(settings),
        settings.image,
        settings.other,
        weights=settings.weights,
        descriptor=settings.descriptor,
        picture=picture,
    )
    return _written(settings, "explain", explained)


def remove(settings: RemoveSettings) -> int:
    """Remove members; return the exit code."""
    from bootstrap.live import removal  # noqa: PLC0415 - as above

    by = settings.by or _user()
    with _changing(logged=not settings.dry_run):
        removed = removal.remove(
            _client(settings), settings.index, settings.names, by, save=settings.save, dry_run=settings.dry_run
        )
    return _written(settings, "remove", removed)


def set_radius(settings: SetRadiusSettings) -> int:
    """Give the index another radius; return the exit code."""
    from bootstrap.live import radius  # noqa: PLC0415 - as above

    with _changing(logged=not settings.dry_run):
        changed = radius.set_radius(
            _client(settings), settings.index, settings.radius, _user(), dry_run=settings.dry_run
        )
    return _written(settings, "set-radius", changed)


def export(settings: ExportSettings) -> int:
    """Write the index to a file; return the exit code."""
    from bootstrap.live import copies  # noqa: PLC0415 - as above

    return _written(settings, "export", copies.export(_generation(settings), settings.file))


def copy_to(settings: CopySettings) -> int:
    """Copy the index to another Redis; return the exit code."""
    from bootstrap.live import copies  # noqa: PLC0415 - as above
    from neardup.index.stored.connection import connect  # noqa: PLC0415 - as above

    target = connect(settings.target_url, settings.target_password)
    name = settings.target_index or settings.index
    with _changing():
        copied = copies.copy_to(_client(settings), settings.index, target, name, _user(), overwrite=settings.overwrite)
    return _written(settings, "copy-to", copied)


@contextmanager
def _changing(*, logged: bool = True) -> Iterator[None]:
    """Log who changed what, and leave nothing half built behind when told to end."""
    if logged:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    with unwound_by_sigterm():
        yield


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user that it has no name for
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def _client(settings: StatsSettings) -> Any:  # noqa: ANN401 - of redis-py
    from neardup.index.stored.connection import connect  # noqa: PLC0415 - as above

    return connect(settings.redis_url, settings.redis_password)


def _generation(settings: StatsSettings) -> "LiveGeneration":
    from bootstrap.live.reading import LiveGeneration  # noqa: PLC0415 - as above

    return LiveGeneration(_client(settings), settings.index)


def _retention(settings: RetentionSettings) -> "Retention":
    from neardup.index.retention import Retention  # noqa: PLC0415 - as above

    return Retention(None if settings.retention_s is None else settings.retention_s * 1000)


def _written(settings: StatsSettings, command: str, document: Document) -> int:
    text = json.dumps(document, ensure_ascii=False, indent=2) if settings.as_json else rendered(command, document)
    sys.stdout.write(f"{text}\n" if text else "")
    if document.get("unknown"):
        if not settings.as_json:
            sys.stderr.writelines(f"{line}\n" for line in _unknown_lines(command, document["unknown"]))
        return EXIT_NO_MEMBER
    return 0 if document.get("holds", True) else EXIT_DOES_NOT_HOLD


def _unknown_lines(command: str, names: Sequence[str]) -> Iterator[str]:
    nor_file = ", and there is no such file" if command == "explain" else ""
    yield from (f"no member has the image id or the key {name!r}{nor_file}" for name in names)
    if command == "remove":
        yield "nothing was removed"


# -- as lines ---------------------------------------------------------------------------------------------------------


def rendered(command: str, document: Document) -> str:
    """Return a command's document as lines for a terminal."""
    lines: dict[str, Callable[[Document], Iterator[str]]] = {
        "stats": _stats_lines,
        "show": _show_lines,
        "neighbours": _neighbour_lines,
        "verify": _verify_lines,
        "repair": _repair_lines,
        "duplicates": duplicates_lines,
        "explain": explain_lines,
        "remove": remove_lines,
        "set-radius": set_radius_lines,
        "export": export_lines,
        "copy-to": copy_lines,
    }
    return "\n".join(lines[command](document))


def _stats_lines(document: Document) -> Iterator[str]:
    clusters, events, memory = document["clusters"], document["events"], document["memory_bytes"]
    seed = ", ".join(f"{count} {name}" for name, count in document["seed"].items())
    each = document["bytes_a_member"]
    yield from table(
        [
            ("index", f"{document['index']}, generation {document['generation']}, made {document['created_at']}"),
            ("descriptor", f"{document['descriptor']} ({document['fingerprint']}), {document['dimension']} numbers"),
            ("radius", f"{document['radius']:g} ({radius_origin(document['calibration'])})"),
            ("change", "any" if document["local_change"] is None else f"{document['local_change']:g} at most, locally"),
            ("symmetries", ", ".join(document["symmetries"]) or "none"),
            ("seed", seed),
            ("members", document["members"]),
            ("clusters", f"{clusters['count']} of {clusters['centroids']} centroids and {document['splits']} splits"),
            ("sizes", ", ".join(f"{name} {clusters[name]}" for name in ("p1", "p50", "p99", "max"))),
            ("events", f"{events['ever']}, of which the log holds {events['in_log']}"),
            ("decisions", f"{document['decisions']} remembered"),
            ("removed", f"{document['removed']} on request, ever"),
            ("memory", ", ".join(f"{kind} {_mebibytes(size)}" for kind, size in memory.items())),
            ("a member", f"{each:g} bytes" if each is not None else "no members"),
        ]
    )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _show_lines(document: Document) -> Iterator[str]:
    if not document["members"] and document["decision"]:
        yield f"decision    {decided(document['decision'])}"
    if not document["members"] and document["removed"]:
        yield f"removed     {document['removed']['at']}, by {document['removed']['by']}"
    for number, member in enumerate(document["members"]):
        if number:
            yield ""
        near = member["nearest"]
        yield from table(
            [
                ("image id", member["image_id"]),
                ("key", member["key"]),
                ("captured at", member["captured_at"] or "unknown"),
                ("cell", f"{member['cell']}, of centroid {member['root']}"),
                ("nearest", f"{near['image_id']} ({near['key']}), {near['distance']:.6f} away" if near else "none"),
                ("decision", decided(member["decision"]) if member["decision"] else "not remembered any more"),
            ]
        )


def _neighbour_lines(document: Document) -> Iterator[str]:
    of = f" of {document['duplicate_of']}" if document["duplicate_of"] is not None else ""
    yield f"{document['image']} would be {document['verdict']}{of}; radius {document['radius']:g}"
    yield f"It belongs to cell {document['cell']}."
    for near in document["neighbours"]:
        mark = "*" if near["within_radius"] else " "
        yield f"{mark} {near['distance']:.6f}  {near['image_id']}  ({near['key']})"


def _verify_lines(document: Document) -> Iterator[str]:
    words = {"yes": "ok", "no": "WRONG", "warning": "warning"}
    for check in document["checks"]:
        wrong = f", {check['wrong']} wrong" if check["wrong"] else ""
        yield f"{words[check['holds']]:8}{check['check']:10}{check['says']}: {check['examined']} examined{wrong}"
        yield from (f"{'':18}{text}" for text in check["examples"])
        if check["wrong"] > len(check["examples"]):
            yield f"{'':18}and {check['wrong'] - len(check['examples'])} more"
    yield "everything is consistent" if document["holds"] else "the index is not consistent"


def _repair_lines(document: Document) -> Iterator[str]:
    unusable = document["not_restorable"]
    yield from table(
        [
            ("index", f"{document['index']}, generation {document['generation']}"),
            ("read", f"{document['read']} verdicts, {document['uniques']} of them members' of this index"),
            ("already there", document["already_there"]),
            ("would restore" if document["dry_run"] else "restored", document["restored"]),
            ("too old", document["expired"]),
            ("removed", document["removed"]),
            ("conflicts", document["conflicts"]),
            ("not restorable", sum(unusable.values())),
        ]
    )
    yield from (f"  {count} {why}" for why, count in unusable.items())
    for conflict in document["examples"]:
        yield (
            f"  {conflict['image_id']} ({conflict['key']}) is a duplicate of {conflict['duplicate_of']} by now, "
            f"{conflict['distance']:.6f} away"
        )


if __name__ == "__main__":
    sys.exit(main())
