"""How the documents of the tools that are about members, or about all of them, look on a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from bootstrap.tool import decided, differing, kept, refusal, table
from neardup.wording import counted

Document = dict[str, Any]

_LISTED = 20


def _called(member: Document) -> str:
    return f"{member['image_id']} ({member['key']})"


def _listed(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_LISTED])
    if len(lines) > _LISTED:
        yield f"  and {len(lines) - _LISTED} more, with --json"


def _index(document: Document) -> tuple[str, str]:
    return "index", f"{document['index']}, generation {document['generation']}"


def _named(decisions: Document) -> list[str]:
    return [
        f"{message['key']}, {message['distance']:.6f} away from {message['duplicate_of']}"
        for message in decisions["messages"]
    ]


def duplicates_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``duplicates``."""
    if not document["members"] and document["decision"]:
        yield f"decision    {decided(document['decision'])}"
    if not document["members"] and not document["decisions"]["messages"]:
        return
    for member in document["members"]:
        near = [
            f"{_called(other)}, {other['distance']:.6f} away{differing(other)}" for other in member["within_radius"]
        ]
        yield f"{_called(member)} has {counted(len(near), 'other member')} within the radius {document['radius']:g}"
        yield from _listed(near)
    messages = _named(document["decisions"])
    yield f"{len(messages)} of {document['decisions']['remembered']} remembered decisions named it as the match"
    yield from _listed(messages)
    yield "Older decisions are forgotten, and duplicates are not stored: the verdict topic has them."


def explain_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``explain``."""
    if document["unknown"]:
        yield "what is no member has to be an image file"
        return
    image, other = document["image"], document["other"]
    of = "a duplicate of" if document["verdict"] == "duplicate" else "no duplicate of"
    pairs = [("verdict", f"{image['name']} is {of} {other['name']}"), ("why", document["why"])]
    for name, side in (("A", image), ("B", other)):
        known = f"member {_called(side)}" if side["is"] == "member" else f"file {side['name']}"
        pairs.append((name, known))
    pairs += [(_variant(one), f"{one['distance']:.6f} apart{differing(one)}") for one in document["compared"]]
    if document["least_agreement"] is not None:
        from neardup.relation.edit import Edit  # noqa: PLC0415 - numpy: not for --help

        edit = document["edit"]
        pairs.append(("edit", "no common part found" if edit is None else f"A {Edit(**edit)}"))
    yield from table(pairs)
    missing = [f"after {symmetry}" for symmetry in document["symmetries_not_compared"]]
    missing += ["by its parts"] if document["parts_not_compared"] else []
    if missing:
        yield f"A is stored only as it came; give its file to compare it {', '.join(missing)}, too."


def _variant(one: Document) -> str:
    """Return what was compared, in words."""
    name = "as it came" if one["symmetry"] == "none" else str(one["symmetry"])
    if one["part"] is None:
        return name
    left, top, right, bottom = (f"{100 * side:.0f}" for side in one["part"])
    return f"{name}, {left}-{right} % across, {top}-{bottom} % down"


def remove_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``remove``."""
    if document["unknown"]:
        yield "nothing was removed, because of what is unknown"
        return
    removed, decisions = document["removed"], document["decisions"]
    messages = _named(decisions)
    verb = "would remove" if document["dry_run"] else "removed"
    yield from table([_index(document), (verb, f"{counted(len(removed), 'member')}, by {document['by']}")])
    yield from _listed([_called(member) for member in removed])
    yield f"{len(messages)} of {decisions['remembered']} remembered decisions named one of these as the match"
    yield from _listed(messages)
    yield (
        "These messages keep their verdict while it is remembered, also when they are delivered again. The next copy "
        "is compared anew, and unique if no other member is near."
    )
    if document["saved"]:
        yield f"To undo it: neardup bootstrap --import {document['saved']}, with the descriptor of this index."


def set_radius_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``set-radius``."""
    left_out = document["left_out"]
    would = "would be " if document["dry_run"] else ""
    pairs = [
        _index(document),
        ("radius", f"{would}{document['radius']:g}, after {document['radius_before']:g}"),
        ("members", f"{would}{document['members']}, of {document['members_before']}"),
        ("left out", f"{len(left_out)}, within the new radius of an earlier member"),
    ]
    if document["new_generation"]:
        pairs.append(("now live", f"generation {document['new_generation']}"))
        pairs.append(("previous", kept(document["previous"])))
    yield from table(pairs)
    yield from _listed(
        [f"{_called(each)}, {each['distance']:.6f} away from {each['duplicate_of']}" for each in left_out]
    )
    yield from refusal(document)
    if document["radius"] == document["radius_before"]:
        yield "That is its radius already: nothing was done."
    if document["previous"]:
        yield "To undo it: neardup index rollback."


def rebuild_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``rebuild``."""
    not_usable, too_old = document["not_usable"], document["too_old"]
    would = "would be " if document["dry_run"] else ""
    radius = "as before" if document["radius"] == document["radius_before"] else f"after {document['radius_before']:g}"
    pairs = [
        _index(document),
        ("read", f"{document['read']} descriptions in topic {document['topic']}"),
        ("images", f"{document['images']}; {document['again']} came again, {document['removed']} were removed"),
        ("not usable", sum(not_usable.values())),
        ("too old", f"{counted(too_old['images'], 'image')}, {counted(too_old['members'], 'member')}"),
        ("radius", f"{would}{document['radius']:g}, {radius}"),
        ("members", f"{would}{document['members']}, after {document['members_before']}"),
        ("left out", f"{document['left_out']} members, which duplicate others now"),
    ]
    if document["new_generation"]:
        pairs.append(("now live", f"generation {document['new_generation']}"))
        pairs.append(("previous", kept(document["previous"])))
    yield from table(pairs)
    yield from _listed([f"{count} {why}" for why, count in not_usable.items()])
    yield from refusal(document)
    if document["previous"]:
        yield "To undo it: neardup index rollback."


def export_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``export``."""
    size = f"{document['bytes'] / 2**20:.1f} MiB"
    yield from table(
        [_index(document), ("written", f"{counted(document['members'], 'member')}, {size}, to {document['file']}")]
    )


def copy_lines(document: Document) -> Iterator[str]:
    """Return the lines of ``copy-to``."""
    to, before = document["to"], document["instead_of"]
    instead = "" if before is None else f", in place of generation {before}"
    yield from table(
        [
            _index(document),
            ("copied", counted(document["members"], "member")),
            ("now live", f"{to['index']}, generation {to['generation']}{instead}"),
            ("previous", kept(document["previous"])),
        ]
    )
