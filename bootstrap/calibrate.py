"""Ask a live index what radius fits it, and what would change: ``neardup calibrate``.

Changes nothing; safe while consumers run.

Exit codes

    0    done
    1    Redis cannot be reached, or the index was replaced meanwhile: the same command may succeed later
    2    wrong arguments, settings, labelled pairs or images, or no such index: a line on stderr for each
    130  interrupted (Ctrl-C)
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bootstrap.calibrate_settings import CalibrateSettings
from bootstrap.calibration.wording import radius_origin
from neardup.cli.commands import command
from neardup.cli.progress import shown_progress
from neardup.cli.running import run_command
from neardup.wording import counted

_FEW = "too few different members: 100 are needed, and a few hundred pairs beyond the radius"

Document = dict[str, Any]


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the command and return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ
    return run_command(command("calibrate"), arguments, environ, "python -m bootstrap.calibrate")


def calibrate(settings: CalibrateSettings) -> int:
    """Run the command and return the exit code."""
    document = run(settings)
    text = json.dumps(document, ensure_ascii=False, indent=2) if settings.as_json else rendered(document)
    sys.stdout.write(f"{text}\n")
    return 0


def run(settings: CalibrateSettings) -> Document:
    """Run the command, and return the result as a document.

    Raises
    ------
    Misconfigured, Unavailable
        One clear line, or one for each wrong line of the labelled pairs.
    """
    from bootstrap.calibration.live import calibrate_live  # noqa: PLC0415 - numpy and redis-py: not for --help
    from bootstrap.live.reading import LiveGeneration  # noqa: PLC0415
    from bootstrap.marked.labels import read_labels  # noqa: PLC0415
    from neardup.index.stored.connection import connect  # noqa: PLC0415

    labels = read_labels(settings.pairs) if settings.pairs else []
    if settings.run is not None and settings.pairs is not None:
        from bootstrap.marked.run import calibrate_run  # noqa: PLC0415 - as above

        return calibrate_run(
            settings.run, settings.pairs, labels, descriptor=settings.descriptor, weights=settings.weights
        )
    client = connect(settings.redis_url, settings.redis_password)
    generation = LiveGeneration(client, settings.index, shown=shown_progress)
    return calibrate_live(
        generation, settings.false_pairs, settings.pairs, labels, settings.weights, descriptor=settings.descriptor
    )


def rendered(document: Document) -> str:
    """Return the document as lines for a terminal."""
    if "run" in document:
        lines = [*_about_run(document), *_about_labels(document), *_about_changes(document)]
        lines.append(("changed", "nothing; run it again with --radius"))
    else:
        lines = [*_about_index(document), *_about_proposal(document), *_about_labels(document)]
        lines += [*_about_members(document)]
        lines.append(("changed", "nothing; neardup index set-radius gives the index another radius"))
    width = max(len(subject) for subject, _ in lines) + 2
    return "\n".join(f"{subject:{width}}{text}".rstrip() for subject, text in lines)


def _about_index(document: Document) -> Iterator[tuple[str, str]]:
    yield "index", f"{document['index']}, generation {document['generation']}"
    rate = f"; about {document['rate']:.2g} false pairs" if document["rate"] is not None else ""
    yield "radius now", f"{document['radius']:g} ({radius_origin(document['calibration'])}){rate}"
    copied = f", {document['copied']} of these left out as edited copies of others" if document["copied"] else ""
    yield "members", f"{document['members']}, {document['compared']} of them compared{copied}"


def _about_run(document: Document) -> Iterator[tuple[str, str]]:
    yield "run", f"{document['run']}, {counted(document['images'], 'image')}"
    for note in document["notes"]:
        yield "", note
    yield "radius now", f"{document['radius']:g}"


def _about_changes(document: Document) -> Iterator[tuple[str, str]]:
    for name, counts in zip(("now", "best"), document["changes"], strict=True):
        duplicates = counted(counts["duplicates"], "duplicate")
        told = f"{counts['unique']} unique, {duplicates} at {counts['radius']:.6g}"
        yield f"images, {name}", told if name == "now" else f"about {told}"


def _about_members(document: Document) -> Iterator[tuple[str, str]]:
    changes = document.get("members_at")
    if changes is not None:
        best = document["marked"]["fewest_errors"]["radius"]
        yield "members, now", f"{changes['now']} at {document['radius']:.6g}"
        left_out = changes["now"] - changes["best"]
        yield "members, best", f"{changes['best']} at {best:.6g}; {left_out} would be duplicates of others"


def _about_proposal(document: Document) -> Iterator[tuple[str, str]]:
    if document["proposed"] is None:
        yield "proposed", f"none, {_FEW}"
        return
    rate = document["false_pairs"]
    if (document["shown"] or 0.0) > rate:
        promise = f"too few members to show {rate:g}; they show at most {document['shown']:g}"
    else:
        promise = f"at most {rate:g}"
    promise += f" false pairs with {document['confidence']:.0%} confidence"
    if document["proposed"] > document["bound"]:
        promise = f"light edits need it; {promise} would be {document['bound']:g}"
    yield "proposed", f"{document['proposed']:g} ({promise}); about {document['rate_proposed']:.2g} false pairs"
    if document["agreement"] is not None:
        agreed = f"{document['agreed']} agree by {document['agreement']:g} and more"
        seen = (
            f"of {document['looked']} pairs of members beyond the radius and within {document['candidate']:g}, {agreed}"
        )
        yield "", f"{seen}; nearer ones that agree never became members"
    if document["extrapolated"]:
        yield "", "members are beyond the radius from one another: below it, this continues what was seen above"


def _about_labels(document: Document) -> Iterator[tuple[str, str]]:
    marked = document.get("marked")
    if marked is None:
        return
    yield "marked", f"{counted(marked['same'], 'pair')} same, {marked['different']} different"
    for name, errors in (("now", marked["now"]), ("proposed", marked["proposed"]), ("best", marked["fewest_errors"])):
        if errors is not None:
            missed, false = errors["same_missed"], errors["different_taken_for_duplicates"]
            wrong = f"{missed} same missed, {false} different taken for duplicates"
            yield f"right, {name}", f"{errors['right']} at {errors['radius']:.6g}; {wrong}"


if __name__ == "__main__":
    sys.exit(main())
