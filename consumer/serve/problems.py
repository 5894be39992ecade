"""What is wrong with a request, as problem details (RFC 9457): what, where, what to do."""

import json
from http import HTTPStatus

from aiohttp import web

from consumer.messages import CONTROL, MAX_DETAIL_CHARACTERS
from neardup.errors import BadInput

CONTENT_TYPE = "application/problem+json"
OVERLOADED_S = 1
"""When to come again: what is in work takes no longer."""
AWAY_S = 5
"""The same for a server that is away."""


class Problem(Exception):
    """A request that is not answered as it asks.

    Parameters
    ----------
    status
        Of the response.
    detail
        What is wrong, where, and what to do, in one line.
    reason
        Slug of a dead letter where the image is at fault.
    headers
        Of the response.
    """

    def __init__(
        self, status: HTTPStatus, detail: str, *, reason: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.reason, self.headers = status, reason, headers or {}

    def response(self, instance: str | None = None) -> web.Response:
        """Return the response; `instance` is the path that was asked for."""
        return answer(self.status, self.document(instance), content_type=CONTENT_TYPE, headers=self.headers)

    def document(self, instance: str | None) -> dict[str, object]:
        """Return the problem as JSON has it."""
        return {
            "type": "about:blank" if self.reason is None else f"urn:neardup:reason:{self.reason}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": CONTROL.sub(" ", str(self))[:MAX_DETAIL_CHARACTERS],
            **({} if instance is None else {"instance": instance}),
            **({} if self.reason is None else {"reason": self.reason}),
        }


def answer(
    status: HTTPStatus,
    document: object,
    *,
    content_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> web.Response:
    """Return a JSON response that nothing between here and the client keeps."""
    # ASCII: text of strangers cannot break out of JSON by what a reader takes it for.
    body = json.dumps(document, separators=(",", ":")).encode()
    return web.Response(status=status, body=body, content_type=content_type, headers=headers)


def bad_image(error: BadInput) -> Problem:
    """Return what to say of an image that becomes a dead letter in the stream."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), reason=error.reason)


def too_large(most_bytes: int) -> Problem:
    """Return what to say of an image that has too many bytes."""
    detail = f"an image may have {most_bytes} bytes (--max-image-bytes): send a smaller one"
    return Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail, reason="too-many-bytes")


def come_again(detail: str, after_s: int = OVERLOADED_S) -> Problem:
    """Return what to say when the same request may succeed a little later."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(after_s)})
