"""What goes wrong inside, and what of a URI may be shown."""

import re

_LONGEST_SHOWN = 200


class Outage(Exception):
    """A store did not answer, or answered that it cannot serve now; whether that is retried is decided elsewhere.

    Parameters
    ----------
    detail
        What happened.
    slow
        It was the time limit.
    """

    def __init__(self, detail: str, *, slow: bool = False) -> None:
        super().__init__(detail)
        self.slow = slow


def shown(uri: str) -> str:
    """Return a URI for a log or a dead letter: quoted, short, without user, password and query.

    A presigned query is a credential.
    """
    text, mark = uri, ""
    if found := re.search(r"[?#]", uri):
        text, mark = uri[: found.start()], found[0] + "..."
    # Only where the host is written plainly is an @ behind it harmless.
    if "@" in text and not re.match(r"[a-z0-9]+://[^/\\@]*/", text):
        text = "***@" + text.rpartition("@")[2]
    return ascii(text[:_LONGEST_SHOWN] + ("..." if len(text) > _LONGEST_SHOWN else "") + mark)
