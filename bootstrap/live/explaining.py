"""Why an image is, or is not, a duplicate of another, by a live index; and what the index knows near a member.

Everything here only reads, and gives a document that JSON can hold.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bootstrap.live.decisions import naming, remembered
from bootstrap.live.inspection import describe_file, described, read_pixels
from bootstrap.live.reading import LiveGeneration
from neardup.errors import Misconfigured
from neardup.relation.comparison import Comparison, compare_described
from neardup.relation.edit import Points, common_part, look_document
from neardup.search.distance import l2_distances, similarity
from neardup.types import Member, Pixels, Symmetry, Variant, Verdict

Document = dict[str, Any]


# -- duplicates -------------------------------------------------------------------------------------------------------


def duplicates(generation: LiveGeneration, wanted: str) -> Document:
    """Return what an index knows of the duplicates of its members with this image id or key.

    Duplicates are not stored. What it knows: other members within the radius, which there are only by retention, local
    change or a symmetry; and the decisions that it still remembers.
    """
    found = [member for member, _ in generation.members_called({wanted})]
    within = _within_radius(generation, found)
    ids = {member.image_id for member in found} or {wanted}
    return {
        "index": generation.meta.name,
        "generation": generation.number,
        "wanted": wanted,
        "unknown": [] if found else [wanted],
        "radius": generation.meta.radius,
        "members": [{**described(member), "within_radius": near} for member, near in zip(found, within, strict=True)],
        "decision": remembered(generation, wanted),
        "decisions": naming(generation, ids),
    }


def _within_radius(generation: LiveGeneration, members: Sequence[Member]) -> list[list[Document]]:
    """Return for each member all others within the radius, each as it is stored, the nearest first."""
    near: list[list[Document]] = [[] for _ in members]
    if not members:
        return near
    queries = np.stack([member.descriptor for member in members])
    for block in generation.blocks():
        l2 = l2_distances(queries, block.descriptors)
        for row, column in np.argwhere(l2 <= generation.meta.radius).tolist():
            other = block.member(column)
            if other.key != members[row].key:
                checks = generation.meta.relation.check_one(members[row].kept, other.kept, float(l2[row, column]))
                told = {
                    "distance": float(l2[row, column]),
                    "local_change": checks.local_change(0),
                    **look_document(generation.meta.relation, checks.look(0), Symmetry.NONE),
                }
                near[row].append({**described(other), **told})
    return [sorted(each, key=lambda found: (found["distance"], found["key"])) for each in near]


# -- explain ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Picture:
    """Where the two images are drawn, and where their pixels come from; the index has none.

    Attributes
    ----------
    path
        PNG to write.
    files
        Image file of each side; None takes the side's own name.
    """

    path: Path
    files: tuple[str | None, str | None]

    def read(self, names: Sequence[str]) -> list[Pixels]:
        """Return the pixels of both.

        Raises
        ------
        Misconfigured
            One cannot be read, or matplotlib is missing.
        """
        from bootstrap.report.pictures import require_matplotlib  # noqa: PLC0415 - scikit-learn: only when asked for

        require_matplotlib("--picture")
        found = []
        for name, file, flag in zip(names, self.files, ("--image-a", "--image-b"), strict=True):
            if file is None and not Path(name).is_file():
                raise Misconfigured(
                    f"--picture: {name!r} is no file here, and the index has no pixels: add {flag} FILE"
                )
            found.append(read_pixels(Path(file or name)))
        return found

    def draw(self, pair: Sequence[tuple[str, Pixels]], document: Document, outlines: Sequence[Points]) -> None:
        """Write the picture, with the outline of what both show if there is one.

        Raises
        ------
        Misconfigured
            It cannot be written.
        """
        from bootstrap.report.pictures import write_pair  # noqa: PLC0415 - as above

        alike = document["verdict"] == Verdict.DUPLICATE
        title = "The left is a duplicate of the right" if alike else "The left is no duplicate of the right"
        write_pair(self.path, pair, title, document["why"], alike=alike, outlines=outlines)


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two images.

    Attributes
    ----------
    name
        As it was asked for.
    member
        None when it is a file.
    compared
        What it is compared by, the image as it came first; of a member only that.
    """

    name: str
    member: Member | None
    compared: tuple[Variant, ...]

    def document(self) -> Document:
        """Return what it is."""
        if self.member is None:
            return {"name": self.name, "is": "file"}
        return {"name": self.name, "is": "member", **described(self.member)}


def explain(
    generation: LiveGeneration,
    image: str,
    other: str,
    *,
    weights: str | None = None,
    descriptor: str | None = None,
    picture: Picture | None = None,
) -> Document:
    """Return the verdict on an image if only the other were a member, and all that it follows from.

    Parameters
    ----------
    generation
        The live one.
    image, other
        Each an image id, a key, or an image file. What is both is taken for the member.
    weights, descriptor
        As in `bootstrap.live.inspection.describe_file`, for files.
    picture
        Draws the two side by side.

    Raises
    ------
    Misconfigured
        A name is that of several members, a file cannot be described, or the picture cannot be drawn.
    """
    names = (image, other)
    called = _called(generation, names)
    unknown = [name for name in dict.fromkeys(names) if name not in called and not Path(name).is_file()]
    head = {"index": generation.meta.name, "generation": generation.number, "unknown": unknown}
    if unknown:
        return head
    pixels = [] if picture is None else picture.read(names)
    first, second = (_side(generation, name, called.get(name), weights, descriptor) for name in names)
    comparison = compare_described(
        first.compared, second.compared, generation.meta.relation, generation.meta.fingerprint
    )
    document = {**head, **_compared(generation, first, second, comparison)}
    if picture is not None:
        common = comparison.look and common_part(comparison.look, comparison.symmetry)
        picture.draw(list(zip(names, pixels, strict=True)), document, common or ())
    return document


def _called(generation: LiveGeneration, names: Collection[str]) -> dict[str, Member]:
    """Return the member that each name means, if any."""
    found = [member for member, _ in generation.members_called(set(names))]
    called: dict[str, Member] = {}
    for name in names:
        members = [member for member in found if member.key == name]
        members = members or [member for member in found if member.image_id == name]
        if len(members) > 1:
            keys = ", ".join(sorted(member.key for member in members))
            raise Misconfigured(f"{len(members)} members have the image id {name!r}: name one by its key, {keys}")
        if members:
            called[name] = members[0]
    return called


def _side(
    generation: LiveGeneration, name: str, member: Member | None, weights: str | None, descriptor: str | None
) -> Side:
    if member is None:
        return Side(name, None, describe_file(generation, Path(name), weights, descriptor))
    return Side(name, member, (Variant(Symmetry.NONE, member.descriptor, member.kept),))


def _compared(generation: LiveGeneration, first: Side, second: Side, comparison: Comparison) -> Document:
    relation, fingerprint = generation.meta.relation, generation.meta.fingerprint
    each = [compare_described([variant], second.compared, relation, fingerprint) for variant in first.compared]
    return {
        "image": first.document(),
        "other": second.document(),
        "verdict": comparison.verdict.value,
        "why": comparison.why,
        "distance": comparison.distance,
        "similarity": similarity(comparison.distance),
        "radius": comparison.radius,
        "local_change": comparison.local_change,
        "most_local_change": comparison.most_local_change,
        "symmetry": comparison.symmetry.value,
        **look_document(relation, comparison.look, comparison.symmetry),
        "least_agreement": comparison.least_agreement,
        "compared": [
            {
                "symmetry": one.symmetry.value,
                "distance": one.distance,
                "local_change": one.local_change,
                "agreement": one.agreement,
                "agreement_needed": one.agreement_needed,
            }
            for one in each
        ],
        "symmetries_not_compared": [
            symmetry.value for symmetry in relation.symmetries if len(first.compared) == 1 and first.member is not None
        ],
    }
