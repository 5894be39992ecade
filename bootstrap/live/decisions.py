"""The decisions that an index still remembers: that on one message, and those that named an image as the match."""

from collections.abc import Collection, Iterator
from typing import Any

from bootstrap.live.reading import LiveGeneration
from neardup.index.stored.codec import decode_decision
from neardup.index.stored.connection import translated_errors
from neardup.relation.edit import look_document
from neardup.types import Decision, Verdict

Document = dict[str, Any]

_PAGE = 1000


def remembered(generation: LiveGeneration, key: str) -> Document | None:
    """Return the decision that is still remembered for a key."""
    with translated_errors():
        recorded = generation.client.get(generation.keys.decided(key))
    return None if recorded is None else _told(decode_decision(recorded), generation)


def naming(generation: LiveGeneration, image_ids: Collection[str]) -> Document:
    """Return the remembered decisions that call a message a duplicate of one of these images.

    The index remembers a message by its key, not by its image id, and only for ``--decision-ttl-s``; the verdict topic
    has them all.
    """
    found, count = dict[str, Document](), 0
    for key, decision in _decisions(generation):
        count += 1
        if decision.verdict is Verdict.DUPLICATE and decision.duplicate_of in image_ids:
            found[key] = {"key": key, **_told(decision, generation)}
    return {"remembered": count, "messages": [found[key] for key in sorted(found)]}


def _decisions(generation: LiveGeneration) -> Iterator[tuple[str, Decision]]:
    prefix = generation.keys.decided("")
    page: list[bytes] = []
    with translated_errors():
        # A scan may return a key twice, and miss none that was there all the time.
        for name in generation.client.scan_iter(match=f"{prefix}*", count=_PAGE):
            page.append(name)
            if len(page) >= _PAGE:
                yield from _read(generation, page)
                page = []
    yield from _read(generation, page)


def _read(generation: LiveGeneration, names: list[bytes]) -> Iterator[tuple[str, Decision]]:
    if not names:
        return
    prefix = generation.keys.decided("")
    with translated_errors():
        recorded = generation.client.mget(names)
    for name, text in zip(names, recorded, strict=True):
        if text is not None:  # else its time ended meanwhile
            yield name.decode(errors="backslashreplace").removeprefix(prefix), decode_decision(text)


def _told(decision: Decision, generation: LiveGeneration) -> Document:
    return {
        "verdict": decision.verdict.value,
        "duplicate_of": decision.duplicate_of,
        "distance": decision.l2_distance,
        "local_change": decision.local_change,
        "symmetry": decision.symmetry.value,
        **look_document(generation.meta.relation, decision.look, decision.symmetry),
        "generation": decision.generation,
    }
