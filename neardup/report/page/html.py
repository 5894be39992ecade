"""From a report's document to its page: the template, with the styles, the programs and the data put in."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LIBRARIES = ("echarts.common.min.js", "papaparse.min.js")
"""What others wrote, each a script of its own; `vendor/libraries.json` says what they are."""
_SCRIPTS = (
    "elements.js",
    "data.js",
    "marks.js",
    "lists.js",
    "pictures.js",
    "overlay.js",
    "compare.js",
    "gallery.js",
    "charts.js",
    "histogram.js",
    "map.js",
    "tables.js",
    "radius.js",
    "page.js",
)
"""Ours, in the order in which one builds on another; together they are one script, so that they share one scope."""
_PLACE = re.compile(r"\{\{(\w+)\}\}")


def render(document: Mapping[str, Any]) -> str:
    r"""Return the page that shows a document, as HTML to be written in UTF-8.

    The page asks for nothing beyond itself, and its Content-Security-Policy holds the browser to that: it runs the
    scripts whose digests it names, and no others. All text of the document is data to it. None of it becomes markup:
    the document travels as JSON, in which each ``<`` is written ``\u003c``.

    Parameters
    ----------
    document
        What the report shows, of plain values: see `neardup.report`.

    Raises
    ------
    ValueError
        A number is not finite: JSON has no word for it.
    """
    scripts = [_text("vendor", name) for name in LIBRARIES] + [_program()]
    style = _text("style.css")
    return _filled(
        _text("page.html"),
        {
            "policy": _policy(scripts, style),
            "title": html.escape(_printable(str(document["title"]))),
            "style": style,
            "data": json.dumps(document, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
            "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
            "licences": _licences(),
        },
    )


def libraries() -> list[dict[str, str]]:
    """Return the libraries that the page carries: name, version, file, SHA-256, licence and the files of its text."""
    found: list[dict[str, str]] = json.loads(_text("vendor", "libraries.json"))
    return found


@cache
def _program() -> str:
    """Return our scripts as one, in a scope that nothing else on the page sees."""
    return "\n".join(["(() => {", '"use strict";', *(_text("scripts", name) for name in _SCRIPTS), "})();"])


def _filled(template: str, values: Mapping[str, str]) -> str:
    """Put values in their places, in one pass: what looks like a place inside of a value stays as it is."""
    return _PLACE.sub(lambda place: values[place[1]], template)


def _policy(scripts: list[str], style: str) -> str:
    digests = " ".join(map(_digest, scripts))
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {digests}",
            f"style-src {_digest(style)}",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )


@cache
def _digest(text: str) -> str:
    """Return what a policy calls an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _licences() -> str:
    """Return the notices that have to go where the libraries go."""
    parts = []
    for library in libraries():
        told = html.escape(f"{library['name']} {library['version']}, {library['licence']}")
        text = html.escape(_text("vendor", "licences", library["notice"]).strip())
        parts.append(f"<h3>{told}</h3><pre>{text}</pre>")
    return "\n".join(parts)


def _printable(text: str) -> str:
    """Return text that can be written in UTF-8: half of a pair of surrogates cannot."""
    return text.encode("utf-8", "replace").decode()


@cache
def _text(*names: str) -> str:
    """Return a file of this package, with the line ends that HTML makes of all others: digests depend on them."""
    return files(__package__).joinpath(*names).read_text("utf-8").replace("\r\n", "\n")
