"""Errors inside this package, and how much of a URI may be shown."""

import re

_LONGEST_SHOWN = 200


class Outage(Exception):
    """A store did not answer or cannot serve now; whether to retry is decided elsewhere.

    Parameters
    ----------
    detail
        What happened.
    slow
        Whether it timed out.
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
    # An @ is harmless only behind a plainly written host.
    if "@" in text and not re.match(r"[a-z0-9]+://[^/\\@]*/", text):
        text = "***@" + text.rpartition("@")[2]
    return ascii(text[:_LONGEST_SHOWN] + ("..." if len(text) > _LONGEST_SHOWN else "") + mark)
