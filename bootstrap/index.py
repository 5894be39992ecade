"""Look at a live index, check it, repair it: ``neardup index stats|show|neighbours|verify|repair``.

All but ``repair`` only read; all of it may be done while consumers run. What is about members, or about all of them, is
in `bootstrap.members`, the way back to the generation before in `bootstrap.going_back`, and waiting for an index in
`bootstrap.index_wait`.

Exit codes

    0    done; after verify: everything holds
    1    Redis or Kafka cannot be reached, the index was replaced meanwhile, or none came in time: the same command may
         succeed later
    2    wrong arguments, settings or image, no such index, uniques that a rollback would lose: a line on stderr each
    3    verify found something that does not hold
    4    no member is called so, and nothing was changed
    130  interrupted (Ctrl-C)
    143  terminated (SIGTERM)
"""

import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from bootstrap.calibration.wording import agreement_origin, radius_origin
from bootstrap.index_settings import (
    NeighboursSettings,
    RepairSettings,
    ShowSettings,
    StatsSettings,
    VerifySettings,
)
from bootstrap.tool import client_of, decided, differing, generation_of, kept, mebibytes, retention_of, table, written
from neardup.cli.commands import family
from neardup.cli.progress import shown_progress
from neardup.cli.running import run_member

EXIT_DOES_NOT_HOLD = 3

Document = dict[str, Any]


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run a command and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ
    return run_member(family("index"), arguments, environ, "python -m bootstrap.index")


def stats(settings: StatsSettings) -> int:
    """Print sizes, radius and memory; return the exit code."""
    from bootstrap.live import inspection  # noqa: PLC0415 - numpy and redis-py: not for --help

    return _written(settings, "stats", inspection.stats(generation_of(settings)))


def show(settings: ShowSettings) -> int:
    """Print a member; return the exit code."""
    from bootstrap.live import inspection  # noqa: PLC0415 - as above

    return _written(settings, "show", inspection.show(generation_of(settings), settings.target))


def neighbours(settings: NeighboursSettings) -> int:
    """Print the members nearest to an image; return the exit code."""
    from bootstrap.live import inspection  # noqa: PLC0415 - as above

    found = inspection.neighbours(
        generation_of(settings), settings.target, settings.limit, settings.weights, settings.descriptor
    )
    return _written(settings, "neighbours", found)


def verify(settings: VerifySettings) -> int:
    """Check the index; return the exit code."""
    from bootstrap.live.verify import Verification  # noqa: PLC0415 - as above

    check = Verification(
        client_of(settings),
        settings.index,
        sample=settings.sample,
        max_cluster=settings.max_cluster,
        retention=retention_of(settings),
        shown=shown_progress,
    )
    return _written(settings, "verify", check.run())


def repair(settings: RepairSettings) -> int:
    """Restore what Redis lost; return the exit code."""
    logging.getLogger("kafka").addHandler(logging.NullHandler())  # we report failures ourselves, in one line
    from bootstrap.live import repair as repairing  # noqa: PLC0415 - kafka-python: only when asked for
    from neardup.index.redis import RedisIndexOptions  # noqa: PLC0415 - as above

    restored = repairing.repair(
        client_of(settings),
        settings.index,
        settings,
        settings.verdicts_topic,
        int((time.time() - settings.since_s) * 1000),
        options=RedisIndexOptions(max_cluster=settings.max_cluster, retention=retention_of(settings)),
        dry_run=settings.dry_run,
        shown=shown_progress,
        tell=lambda line: sys.stderr.write(f"{line}\n"),
    )
    return _written(settings, "repair", restored)


def _written(settings: StatsSettings, command: str, document: Document) -> int:
    code = written(settings, document, _LINES[command])
    return code if document.get("holds", True) else EXIT_DOES_NOT_HOLD


# -- as lines ---------------------------------------------------------------------------------------------------------


def _stats_lines(document: Document) -> Iterator[str]:
    clusters, events, memory = document["clusters"], document["events"], document["memory_bytes"]
    seed = ", ".join(f"{count} {name}" for name, count in document["seed"].items())
    each, previous = document["bytes_a_member"], document["previous"]
    yield from table(
        [
            ("index", f"{document['index']}, generation {document['generation']}, made {document['created_at']}"),
            ("previous", kept(previous)),
            ("descriptor", f"{document['descriptor']} ({document['fingerprint']}), {document['dimension']} numbers"),
            ("radius", f"{document['radius']:g} ({radius_origin(document['calibration'])})"),
            ("change", "any" if document["local_change"] is None else f"{document['local_change']:g} at most, locally"),
            ("agreement", _agreement(document)),
            ("symmetries", ", ".join(document["symmetries"]) or "none"),
            ("parts", "matched" if document["match_parts"] else "not matched"),
            ("seed", seed),
            ("members", document["members"]),
            ("clusters", f"{clusters['count']} of {clusters['centroids']} centroids and {document['splits']} splits"),
            ("sizes", ", ".join(f"{name} {clusters[name]}" for name in ("p1", "p50", "p99", "max"))),
            ("events", f"{events['ever']}, of which the log holds {events['in_log']}"),
            ("decisions", f"{document['decisions']} remembered"),
            ("removed", f"{document['removed']} on request, ever"),
            ("memory", ", ".join(f"{kind} {mebibytes(size)}" for kind, size in memory.items())),
            ("a member", f"{each:g} bytes" if each is not None else "no members"),
        ]
    )


def _agreement(document: Document) -> str:
    if document["agreement"] is None:
        return "off"
    origin = agreement_origin(document["calibration"])
    return f"{document['agreement']:g} at least{f' ({origin})' if origin else ''}"


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
        yield f"{mark} {near['distance']:.6f}  {near['image_id']}  ({near['key']}){differing(near)}"


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


_LINES: Mapping[str, Callable[[Document], Iterator[str]]] = {
    "stats": _stats_lines,
    "show": _show_lines,
    "neighbours": _neighbour_lines,
    "verify": _verify_lines,
    "repair": _repair_lines,
}


def rendered(command: str, document: Document) -> str:
    """Return a command's document as lines for a terminal."""
    return "\n".join(_LINES[command](document))


if __name__ == "__main__":
    sys.exit(main())
