"""Reads the image of a request: its body, a field of a form, or an envelope that names it."""

import asyncio
import re
import uuid
from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from consumer.messages import ENVELOPE_HEADER, MAX_ENVELOPE_BYTES, ImageMessage
from consumer.serve.admission import Ticket
from consumer.serve.problems import Problem, too_large
from neardup.capture_time import now_ms

KEY_HEADER = "Idempotency-Key"
MAX_KEY_CHARACTERS = 255
FORM_BYTES = 64 * 1024
"""What a form may have besides its image."""
MAX_NEIGHBOURS = 100
NEIGHBOURS = 5
TOPIC = "http"
NAMESPACE = "http:"
"""Begins the index's keys of what is judged here. No message of Kafka has such a key: topics have no colon; and files
have other beginnings."""
LOOKUP = "lookup:"
"""The key of what is only looked up; never a member's."""

_KEY = re.compile(r"[!-~]+")
_FIELDS = {"image", "image_id", "captured_at"}
_TYPES = "image/..., application/octet-stream, multipart/form-data, or application/json for an envelope"


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request carries.

    Attributes
    ----------
    data
        The encoded image, or an envelope that names it.
    """

    data: bytes
    image_id: str | None
    captured_at: str | None
    is_envelope: bool = False

    def message(self, key: str) -> ImageMessage:
        """Return the message that the stream would have of it; its timestamp is now."""
        texts = {"image_id": self.image_id, "captured_at": self.captured_at}
        # What UTF-8 does not have is refused with a reason where the header is read.
        headers = [(name, text.encode("utf-8", "surrogatepass")) for name, text in texts.items() if text is not None]
        headers += [ENVELOPE_HEADER] if self.is_envelope else []
        return ImageMessage(TOPIC, 0, 0, now_ms(), None, self.data, tuple(headers), identity=key)


def key_of(request: web.Request) -> str:
    """Return the idempotency key of a request; a new one if it has none.

    Raises
    ------
    Problem
        It is no key.
    """
    key = request.headers.get(KEY_HEADER)
    if key is None:
        return str(uuid.uuid4())
    if not _KEY.fullmatch(key) or len(key) > MAX_KEY_CHARACTERS:
        raise Problem(
            HTTPStatus.BAD_REQUEST,
            f"{KEY_HEADER}: write 1 to {MAX_KEY_CHARACTERS} visible ASCII characters, such as a UUID",
        )
    return key


def limit_of(request: web.Request) -> int:
    """Return how many neighbours are asked for.

    Raises
    ------
    Problem
        It is no such number.
    """
    text = request.query.get("limit", str(NEIGHBOURS))
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_NEIGHBOURS))):
        text = "0"
    if not 1 <= int(text) <= MAX_NEIGHBOURS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"limit: write a whole number from 1 to {MAX_NEIGHBOURS}")
    return int(text)


async def read_upload(request: web.Request, ticket: Ticket, max_bytes: int, timeout_s: float) -> Upload:
    """Read what a request carries.

    Raises
    ------
    Problem
        With 400, 408, 413, 415 or 503: why not.
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding: send the image as it is, not compressed")
    kind = request.content_type.lower()
    is_form = kind == "multipart/form-data"
    if (request.content_length or 0) > max_bytes + (FORM_BYTES if is_form else 0):
        raise too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            if is_form:
                return await _of_form(request, ticket, max_bytes)
            return await _of_body(request, ticket, kind, max_bytes)
    except TimeoutError:
        raise Problem(
            HTTPStatus.REQUEST_TIMEOUT,
            f"the body did not come within {timeout_s:g} s (--request-timeout-s): send it again",
            headers={"Connection": "close"},
        ) from None


async def _of_body(request: web.Request, ticket: Ticket, kind: str, max_bytes: int) -> Upload:
    is_envelope = kind == "application/json"
    if not (is_envelope or kind.startswith("image/") or kind == "application/octet-stream"):
        raise Problem(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"Content-Type: send {_TYPES}; with curl, -H 'Content-Type: image/jpeg'"
        )
    body = bytearray()
    async for piece in request.content.iter_any():
        ticket.carry(len(piece))
        body += piece
        if is_envelope and len(body) > MAX_ENVELOPE_BYTES:
            break  # it is refused as in the stream
        if len(body) > max_bytes:
            raise too_large(max_bytes)
    query = request.query
    return Upload(bytes(body), query.get("image_id"), query.get("captured_at"), is_envelope)


async def _of_form(request: web.Request, ticket: Ticket, max_bytes: int) -> Upload:
    fields: dict[str, bytes] = {}
    try:
        async for part in await request.multipart():
            name = part.name if isinstance(part, BodyPartReader) else None
            if not isinstance(part, BodyPartReader) or name not in _FIELDS or name in fields:
                raise _bad_form("it has a field other than these, or one twice")
            fields[name] = await _field(part, ticket, max_bytes if name == "image" else FORM_BYTES)
    except (ValueError, AssertionError, HttpProcessingError) as exc:
        raise _bad_form("it cannot be read") from exc
    if "image" not in fields:
        raise _bad_form("it has no image")
    texts = {name: fields[name].decode("utf-8", "surrogateescape") for name in fields if name != "image"}
    texts = {**request.query, **texts}
    return Upload(fields["image"], texts.get("image_id"), texts.get("captured_at"))


async def _field(part: BodyPartReader, ticket: Ticket, most: int) -> bytes:
    content = bytearray()
    while piece := await part.read_chunk():
        ticket.carry(len(piece))
        content += piece
        if len(content) > most:
            raise too_large(most) if part.name == "image" else _bad_form("a text in it is too long")
    return bytes(content)


def _bad_form(why: str) -> Problem:
    detail = f"multipart/form-data: {why}: send a field image, and with it image_id and captured_at if you like"
    return Problem(HTTPStatus.BAD_REQUEST, detail)
