"""What the page is told, as JSON: all that is seen, with names that are safe to show."""

from typing import Any

from consumer.watch.lines import lag_of, state_of
from consumer.watch.outcomes import done
from consumer.watch.shown import shown
from consumer.watch.tally import RATE_S, Numbered, Seen


def document_of(seen: Seen, title: str) -> dict[str, Any]:
    """Return everything as JSON can hold it."""
    return {
        "title": shown(title),
        "state": state_of(seen),
        "away": bool(seen.away),
        "rate": round(seen.rate, 1),
        "rate_seconds": RATE_S,
        "history": list(seen.history[:-1]),  # the present second has only begun
        "lag": lag_of(seen),
        "unique": seen.unique,
        "duplicate": seen.duplicate,
        "dead": seen.dead,
        "unreadable": seen.unreadable,
        "reasons": [{"reason": shown(reason), "count": count} for reason, count in seen.reasons.items()],
        "pairs": [_pair(each) for each in seen.pairs],
        "letters": [
            {"name": shown(letter.image_id), "reason": shown(letter.reason), "detail": shown(letter.detail)}
            for letter in seen.letters
        ],
    }


def _pair(numbered: Numbered) -> dict[str, Any]:
    told = numbered.told
    return {
        "number": numbered.number,
        "image": shown(told.image_id),
        "member": shown(told.duplicate_of or ""),
        "distance": told.distance,
        "radius": told.radius,
        "done": shown(done(told)),
    }
