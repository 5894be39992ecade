"""Bearer tokens from a file that is read again when it changes."""

import hashlib
import hmac
import logging
import re
from pathlib import Path

from neardup.errors import Misconfigured

LEAST_CHARACTERS = 16
"""Shorter ones are guessed."""
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
"""RFC 6750, section 2.1."""
_BEARER = re.compile(rb"bearer +([^ ]+) *", re.IGNORECASE)
_log = logging.getLogger(__name__)


class TokenFile:
    """The tokens that a file holds now: one a line, several while they are changed.

    A file that is gone, or holds none, lets nobody in.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    Misconfigured
        It cannot be read, or a line of it is no token.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._complaint = ""
        self._seen = self._state()
        self._digests = self._read()

    def lets_in(self, authorization: str | None) -> bool:
        """Return whether an Authorization header names one of the tokens; takes as long whichever it is."""
        found = _BEARER.fullmatch((authorization or "").encode("utf-8", "surrogateescape"))
        self._renew()
        asked = _digest(found[1] if found else b"")
        # All of them, and digests of one length: time tells nothing of a token.
        matches = [hmac.compare_digest(asked, digest) for digest in self._digests]
        return found is not None and any(matches)

    def _state(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        # Of its rights, too: a file that could not be read may be, once these have changed.
        return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino

    def _renew(self) -> None:
        state = self._state()
        if state == self._seen:
            return
        try:
            self._digests = self._read()
        except Misconfigured as error:
            # Looked at again by the next request: what was in the way may go without a trace in the file's state.
            self._digests, self._seen = [], ()
            if self._complaint != str(error):
                self._complaint = str(error)
                _log.warning("%s; nobody is let in until it holds tokens again", error)
        else:
            self._seen, self._complaint = state, ""
            _log.info("--token-file has changed: %d tokens", len(self._digests))

    def _read(self) -> list[bytes]:
        try:
            lines = self._path.read_text("utf-8").splitlines()
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
            raise Misconfigured(f"--token-file {self._path}: cannot be read: {why}") from exc
        tokens = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
        for number, token in tokens:
            if not _TOKEN.fullmatch(token) or len(token) < LEAST_CHARACTERS:
                raise Misconfigured(
                    f"--token-file {self._path}: line {number} is no token: write {LEAST_CHARACTERS} or more letters, "
                    "digits and -._~+/, such as openssl rand -hex 32 prints"
                )
        if not tokens:
            raise Misconfigured(f"--token-file {self._path}: it holds no token: write one a line")
        return [_digest(token.encode()) for _, token in tokens]


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
