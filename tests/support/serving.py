"""Look-up services for tests: in a thread of the test, or as the real command line; and a small client."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import jsonschema
import numpy as np

from consumer.health import Health
from consumer.metrics import Metrics
from consumer.serve.application import Application
from consumer.serve.pages import described
from consumer.serve.service import _listening, _serve
from consumer.serve.settings import ServeSettings
from consumer.serve.tokens import TokenFile
from demo.services.process import free_port
from neardup.decoding.decode import decode
from neardup.descriptors.dct import DctDescriptor
from neardup.index.base import IndexMeta
from neardup.index.build import GenerationBuild
from neardup.index.stored.connection import connect
from neardup.search.cells import Cells
from neardup.search.sketches import fit_sketcher
from neardup.types import Member
from tests.support.processes import Program, eventually, photo, running
from tests.support.stage import SEEDS

JPEG = {"Content-Type": "image/jpeg"}
DESCRIPTION = described(32 * 2**20, with_tokens=True)


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.body)
        return loaded


@dataclass
class Client:
    """Asks a service, and checks that each answer is one that its description has."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return str(parts.hostname), int(parts.port or 0)

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(*self.address, timeout=60)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        with closing(self.connect()) as connection:
            return self.ask_on(connection, method, path, body, **headers)

    def ask_on(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {**self.headers, **named})
        response = connection.getresponse()
        answer = Answer(
            response.status, {name.title(): value for name, value in response.getheaders()}, response.read()
        )
        check_described(method, path, answer)
        return answer

    def judge(self, image: bytes, path: str = "/judge", **headers: str) -> Answer:
        return self.ask("POST", path, image, **{"Content_Type": "image/jpeg", **headers})

    def look_up(self, image: bytes, query: str = "", **headers: str) -> Answer:
        return self.judge(image, f"/lookup{query}", **headers)

    def verdict(self, image: bytes, key: str | None = None, query: str = "") -> dict[str, Any]:
        """Return the verdict on an image, under a key."""
        answer = self.judge(image, f"/judge{query}", **({} if key is None else {"Idempotency_Key": key}))
        assert answer.status == 200, answer.body
        return answer.document


def check_described(method: str, path: str, answer: Answer) -> None:
    """Check a response against the description of the service: its status, its type, and what it holds."""
    operation = DESCRIPTION["paths"].get(urlsplit(path).path, {}).get(method.lower())
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    if operation is None:
        assert answer.status in {200, 401, 403, 404, 405}
        assert kind == ("text/html" if answer.status == 200 else "application/problem+json")
        return
    response = operation["responses"][str(answer.status)]
    if "$ref" in response:
        response = DESCRIPTION["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][kind]["schema"]
    if "json" in kind:
        whole = {"$schema": "https://json-schema.org/draft/2020-12/schema", **DESCRIPTION, **schema}
        jsonschema.validate(answer.document, whole, cls=jsonschema.Draft202012Validator)
    assert answer.headers["Server"] == "neardup"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    if answer.status == 503 and path not in {"/healthz", "/readyz"}:
        assert int(answer.headers["Retry-After"]) > 0


def seed_index(redis_url: str, name: str) -> None:
    """Build an index of the seed photos; in this process, as a bootstrap takes longer than all else in a test."""
    dct = DctDescriptor()
    rows = dct.describe([dct.prepare(decode(photo(number))) for number in range(SEEDS)])
    cells = Cells(rows[:3].astype(np.float32))
    meta = IndexMeta(name, 0, "dct", dct.fingerprint, dct.dimension, dct.default_radius)
    with connect(redis_url) as client:
        build = GenerationBuild(client, meta, cells.centroids, fit_sketcher(rows))
        for number, (cell, row) in enumerate(zip(cells.assign(rows).tolist(), rows, strict=True)):
            build.append(cell, [Member(f"seed:seed-{number:02}.jpg", f"seed-{number:02}.jpg", row)])
        build.publish()


@contextmanager
def serving(settings: ServeSettings) -> Iterator[Client]:
    """Run a whole service in a thread, on a port of its own, and wait until it is ready."""
    port, stop = free_port(), threading.Event()
    settings = ServeSettings(**{**vars(settings), "port": port, "decode_workers": settings.decode_workers or 1})
    tokens = None if settings.token_file is None else TokenFile(settings.token_file)
    thread = threading.Thread(target=lambda: asyncio.run(_serve(settings, tokens, stop)), name="serve")
    thread.start()
    client = Client(f"http://127.0.0.1:{port}")
    try:
        eventually(lambda: _is_ready(client), "ready")
        yield client
    finally:
        stop.set()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def bare(settings: ServeSettings, health: Health | None = None) -> Iterator[Client]:
    """Run a service that never gets its index, in a thread."""
    port, stop, up = free_port(), threading.Event(), threading.Event()
    settings = ServeSettings(**{**vars(settings), "port": port})
    tokens = None if settings.token_file is None else TokenFile(settings.token_file)

    async def run() -> None:
        async with _listening(settings, Application(settings, tokens, Metrics(), health or Health())):
            up.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="bare")
    thread.start()
    try:
        assert up.wait(60)
        yield Client(f"http://127.0.0.1:{port}")
    finally:
        stop.set()
        thread.join(60)


def _is_ready(client: Client) -> bool:
    try:
        return client.ask("GET", "/readyz").status == 200
    except OSError:
        return False


@dataclass(frozen=True)
class Served:
    """A service that runs as a process."""

    program: Program
    client: Client


@contextmanager
def served(redis_url: str, index: str, *more: str, environ: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Run ``neardup serve`` until the end of the body, and wait until it is ready."""
    arguments = ["-m", "neardup", "serve", "--redis", redis_url, "--index", index, "--port", "0"]
    with running([*arguments, "--decode-workers", "1", *more], environ) as program:
        line = json.loads(program.await_line("serving /lookup"))
        client = Client(line["message"].split()[-1])
        eventually(lambda: _is_ready(client), "ready")
        yield Served(program, client)


def form(image: bytes, **texts: str) -> tuple[bytes, str]:
    """Return a form with an image and texts, and its content type; the file's name is markup, and means nothing."""
    boundary = "-----neardup"
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{text}'.encode() for name, text in texts.items()]
    head = (
        'Content-Disposition: form-data; name="image"; filename="../<script>.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    )
    parts.append(head.encode() + image)
    body = b"".join(f"--{boundary}\r\n".encode() + part + b"\r\n" for part in parts)
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
