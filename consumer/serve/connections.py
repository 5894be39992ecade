"""The connections: how many, how long one may take for its headers, and what is said to those who speak no HTTP."""

import asyncio
import json
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from consumer.serve.application import HEADERS
from consumer.serve.problems import CONTENT_TYPE, Problem, come_again

IDLE_S = 10.0
"""For a request's headers to come, from the last answer or from the beginning: slow ones take no place from others."""
LINGERING_S = 5.0
"""How long the rest of a refused body is read, so that its sender gets to read why."""
MAX_LINE_BYTES = 8190
"""Of the request line, and of each header; and no more than 128 headers."""


class Connection(web.RequestHandler):
    """A connection of aiohttp that says in JSON what cannot be read as a request.

    Parameters
    ----------
    server
        Which has the others.
    most
        Connections at once; one above them is told so and closed.
    options
        Those of aiohttp.
    """

    __slots__ = ("_most", "_server")

    def __init__(self, server: web.Server, most: int, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(server, **options)
        self._server, self._most = server, most

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or refuse to."""
        # Not where protocols are made: many may be made before the first has its connection.
        if len(self._server.connections) < self._most:
            super().connection_made(transport)
        elif isinstance(transport, asyncio.Transport):
            transport.set_protocol(asyncio.Protocol())
            transport.write(_TOO_MANY)
            transport.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the response to what is no request; nothing of it is repeated, neither here nor in the log."""
        del message
        if request.writer.output_size > 0:
            raise ConnectionError("the response has begun")
        if isinstance(exc, LineTooLong):
            problem = Problem(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request needs no more than a few headers"
            )
        elif status == HTTPStatus.BAD_REQUEST:
            problem = Problem(HTTPStatus.BAD_REQUEST, "not a request of HTTP/1.1")
        else:
            problem = Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a defect of the service")
        response = problem.response()
        response.headers.update(HEADERS)
        response.force_close()
        return response


def _too_many() -> bytes:
    problem = come_again("there are too many connections: try again later")
    body = json.dumps(problem.document(None)).encode()
    head = [f"{name}: {value}" for name, value in {**HEADERS, **problem.headers}.items()]
    lines = [
        "HTTP/1.1 503 Service Unavailable",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *head,
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + body


_TOO_MANY = _too_many()


async def listen(runner: web.AppRunner, host: str, port: int, most: int) -> asyncio.Server:
    """Listen for connections, no more than so many at once.

    Raises
    ------
    OSError
        It cannot listen there.
    """
    server, loop = runner.server, asyncio.get_running_loop()
    assert server is not None  # noqa: S101 - the runner is set up

    def connection() -> asyncio.Protocol:
        return Connection(
            server,
            most,
            loop=loop,
            keepalive_timeout=IDLE_S,
            lingering_time=LINGERING_S,
            access_log=None,  # which is what switches it off
            auto_decompress=False,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
        )

    return await loop.create_server(connection, host, port)
