"""The description of the service for programs, and the same for people: one page that loads nothing."""

import json
from collections.abc import Iterator
from html import escape
from importlib.resources import files
from typing import Any

from aiohttp import web

from consumer.serve.settings import ServeSettings
from neardup import __version__

Document = dict[str, Any]

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
code,pre{background:#8882;padding:.1em .3em}table{border-collapse:collapse}
td,th{border:1px solid #8886;padding:.2em .6em;text-align:left;vertical-align:top}"""


class Pages:
    """What ``/openapi.json`` and ``/`` answer.

    Parameters
    ----------
    settings
        Whether tokens are asked for, and how large an image may be.
    """

    def __init__(self, settings: ServeSettings) -> None:
        self._document = described(settings.max_image_bytes, with_tokens=settings.token_file is not None)
        self._json = json.dumps(self._document, ensure_ascii=False).encode()
        self._html = "".join(html_of(self._document)).encode()

    async def openapi(self, _: web.Request) -> web.Response:
        """Answer with the description."""
        return web.Response(body=self._json, content_type="application/json")

    async def page(self, _: web.Request) -> web.Response:
        """Answer with the page."""
        return web.Response(body=self._html, content_type="text/html", charset="utf-8")


def described(max_image_bytes: int, *, with_tokens: bool) -> Document:
    """Return the description (OpenAPI 3.1) of a service with these limits."""
    document: Document = _schema("openapi.json")
    document["info"]["version"] = __version__
    verdict = _schema("verdict.schema.json")
    # References inside a schema are to its own root; here that is another document.
    text = json.dumps(verdict).replace('"#/$defs/box"', '"#/components/schemas/Box"')
    schemas = document["components"]["schemas"]
    schemas["Verdict"] = {
        name: value for name, value in json.loads(text).items() if name not in {"$schema", "$id", "$defs"}
    }
    schemas["Box"] = verdict["$defs"]["box"]
    schemas["Image"]["maxLength"] = max_image_bytes
    if not with_tokens:
        del document["security"], document["components"]["securitySchemes"]
    return document


def _schema(name: str) -> Document:
    loaded: Document = json.loads(files("consumer").joinpath(f"schemas/{name}").read_text("utf-8"))
    return loaded


def html_of(document: Document) -> Iterator[str]:
    """Iterate over the parts of the page."""
    info = document["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    yield f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    yield f"<h1>{title}</h1><p>{escape(info['description'])}</p>"
    yield '<p>For programs: <a href="openapi.json">openapi.json</a>.</p>'
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield from _operation(f"{method.upper()} {path}", operation, document)


def _operation(name: str, operation: Document, document: Document) -> Iterator[str]:
    told = f"{operation['summary']}. {operation['description']}"
    yield f"<h2><code>{escape(name)}</code></h2><p>{escape(told)}</p>"
    parameters = [_resolved(each, document) for each in operation.get("parameters", [])]
    if parameters:
        yield "<table><tr><th>parameter<th>in<th>meaning"
        for each in parameters:
            yield f"<tr><td><code>{escape(each['name'])}</code><td>{each['in']}<td>{escape(each['description'])}"
        yield "</table>"
    if "requestBody" in operation:
        content = _resolved(operation["requestBody"], document)["content"]
        yield f"<p>Body: {', '.join(f'<code>{escape(kind)}</code>' for kind in content)}</p>"
    yield "<table><tr><th>status<th>meaning"
    for status, response in operation["responses"].items():
        yield f"<tr><td>{status}<td>{escape(_resolved(response, document)['description'])}"
    yield "</table>"


def _resolved(found: Document, document: Document) -> Document:
    """Return what a reference leads to, or what is none."""
    reference = found.get("$ref")
    if reference is None:
        return found
    for name in reference.removeprefix("#/").split("/"):
        document = document[name]
    return document
