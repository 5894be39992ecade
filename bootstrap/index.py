"""Look at a live index, check it, repair it: ``neardup index stats|show|neighbours|verify|repair|rollback|release``.

All but the last three only read; all of it may be done while consumers run.

Exit codes

    0    done; after verify: everything holds
    1    Redis or Kafka cannot be reached, or the index was replaced meanwhile: the same command may succeed later
    2    wrong arguments, settings or image, no such index, uniques that a rollback would lose: a line on stderr each
    3    verify found something that does not hold
    130  interrupted (Ctrl-C)
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from bootstrap.calibration.wording import radius_origin
from bootstrap.index_settings import (
    NeighboursSettings,
    RepairSettings,
    RetentionSettings,
    RollbackSettings,
    ShowSettings,
    StatsSettings,
    VerifySettings,
)
from neardup.cli.commands import family
from neardup.cli.running import run_member

if TYPE_CHECKING:
    from bootstrap.live.reading import LiveGeneration
    from neardup.index.retention import Retention

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


def rollback(settings: RollbackSettings) -> int:
    """Make the previous generation live again; return the exit code."""
    from bootstrap.live import rollback as rolling  # noqa: PLC0415 - as above

    _log_to_stderr()
    document = rolling.rollback(
        _client(settings),
        settings.index,
        keep_ms=settings.keep_ms,
        retention=_retention(settings),
        allow_dropping=settings.allow_dropping,
        dry_run=settings.dry_run,
    )
    return _written(settings, "rollback", document)


def release(settings: StatsSettings) -> int:
    """Remove the previous generation; return the exit code."""
    from bootstrap.live import rollback as rolling  # noqa: PLC0415 - as above

    _log_to_stderr()
    return _written(settings, "release", rolling.release(_client(settings), settings.index))


def _log_to_stderr() -> None:
    """Leave a line in the log of what was changed, as the bootstrap does."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")


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
    sys.stdout.write(f"{text}\n")
    return 0 if document.get("holds", True) else EXIT_DOES_NOT_HOLD


# -- as lines ---------------------------------------------------------------------------------------------------------


def rendered(command: str, document: Document) -> str:
    """Return a command's document as lines for a terminal."""
    lines: dict[str, Callable[[Document], Iterator[str]]] = {
        "stats": _stats_lines,
        "show": _show_lines,
        "neighbours": _neighbour_lines,
        "verify": _verify_lines,
        "repair": _repair_lines,
        "rollback": _rollback_lines,
        "release": _release_lines,
    }
    return "\n".join(lines[command](document))


def _table(pairs: Sequence[tuple[str, object]]) -> Iterator[str]:
    width = max(len(subject) for subject, _ in pairs) + 2
    for subject, text in pairs:
        yield f"{subject:{width}}{text}".rstrip()


def _stats_lines(document: Document) -> Iterator[str]:
    clusters, events, memory = document["clusters"], document["events"], document["memory_bytes"]
    seed = ", ".join(f"{count} {name}" for name, count in document["seed"].items())
    each, kept = document["bytes_a_member"], document["previous"]
    yield from _table(
        [
            ("index", f"{document['index']}, generation {document['generation']}, made {document['created_at']}"),
            ("previous", _kept(kept) if kept else "none"),
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
            ("memory", ", ".join(f"{kind} {_mebibytes(size)}" for kind, size in memory.items())),
            ("a member", f"{each:g} bytes" if each is not None else "no members"),
        ]
    )


def _kept(previous: Document) -> str:
    left = timedelta(seconds=previous["left_s"])
    return f"generation {previous['generation']}, kept for another {left} for a rollback"


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _show_lines(document: Document) -> Iterator[str]:
    if not document["members"]:
        yield f"no member has the image id or the key {document['wanted']!r}"
        if document["decision"]:
            yield f"decision    {_decided(document['decision'])}"
    for number, member in enumerate(document["members"]):
        if number:
            yield ""
        near = member["nearest"]
        yield from _table(
            [
                ("image id", member["image_id"]),
                ("key", member["key"]),
                ("captured at", member["captured_at"] or "unknown"),
                ("cell", f"{member['cell']}, of centroid {member['root']}"),
                ("nearest", f"{near['image_id']} ({near['key']}), {near['distance']:.6f} away" if near else "none"),
                ("decision", _decided(member["decision"]) if member["decision"] else "not remembered any more"),
            ]
        )


def _decided(decision: Document) -> str:
    of = f" of {decision['duplicate_of']}" if decision["duplicate_of"] is not None else ""
    return f"{decision['verdict']}{of}, by generation {decision['generation']}"


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
    yield from _table(
        [
            ("index", f"{document['index']}, generation {document['generation']}"),
            ("read", f"{document['read']} verdicts, {document['uniques']} of them members' of this index"),
            ("already there", document["already_there"]),
            ("would restore" if document["dry_run"] else "restored", document["restored"]),
            ("too old", document["expired"]),
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


def _rollback_lines(document: Document) -> Iterator[str]:
    added, dry_run = document["added"], document["dry_run"]
    yield from _table(
        [
            ("index", document["index"]),
            ("would be live" if dry_run else "live again", f"generation {document['generation']}"),
            ("instead of", f"generation {document['instead_of']}"),
            ("members", document["members"]),
            ("back", f"{document['back']} that generation {document['instead_of']} did not have"),
            ("gone", f"{document['gone']} that came with generation {document['instead_of']}"),
            ("added since", f"{added['all']} by consumers: {added['carried']} carried over"),
            ("", f"{added['duplicates']} alike to members that are back, left out"),
            ("", f"{added['lost']} lost"),
            ("changed", ", ".join(document["changed"]) or "no settings"),
        ]
    )
    if document["stops_consumers"]:
        yield "Consumers that run with the other descriptor stop with exit code 2: start them again."
    if document.get("refusal"):
        yield f"This would be refused with exit code 2: {document['refusal']}"


def _release_lines(document: Document) -> Iterator[str]:
    if document["released"] is None:
        yield f"index {document['index']} has no previous generation: nothing to release"
        return
    yield from _table(
        [
            ("index", f"{document['index']}, generation {document['generation']}"),
            ("released", f"generation {document['released']}, {document['members']} members"),
            ("freed", _mebibytes(document["freed_bytes"])),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
