"""The page as text: what a browser is told to allow, and that a document never becomes markup."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from neardup.report.page import render
from tests.support.report_documents import HOSTILE, document, few, hostile

VENDORS = 2
"""Scripts of others, before ours."""


class Reader(HTMLParser):
    """Collects the elements of a page, and the text of scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {"script": [], "style": [], "title": []}
        self._inside: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag if tag in self.texts else None
        if self._inside:
            self.texts[tag].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.texts[self._inside][-1] += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    return reader


def policy(reader: Reader) -> dict[str, list[str]]:
    """Return the Content-Security-Policy by directive."""
    [content] = [
        attributes["content"]
        for tag, attributes in reader.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert content is not None
    return {words[0]: words[1:] for words in (part.split() for part in content.split(";"))}


def digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def test_only_its_own_scripts_run_and_nothing_else_is_allowed() -> None:
    reader = read(render(few()))
    allowed = policy(reader)
    data, *scripts = reader.texts["script"]
    assert json.loads(data) == few()
    assert allowed["script-src"] == [digest(script) for script in scripts]
    assert len(scripts) == VENDORS + 1
    assert allowed["style-src"] == [digest(style) for style in reader.texts["style"]]
    assert allowed["default-src"] == allowed["form-action"] == allowed["base-uri"] == ["'none'"]
    assert allowed["img-src"] == ["data:", "blob:"]
    assert set(allowed) == {"default-src", "script-src", "style-src", "img-src", "base-uri", "form-action"}


def test_no_element_asks_for_anything() -> None:
    asking = [
        value
        for _, attributes in read(render(few())).elements
        for name, value in attributes.items()
        if name in {"src", "href", "srcset", "action", "poster", "data"} and value not in {"data:,", "#tabs"}
    ]
    assert asking == []


def test_no_element_has_a_style_or_a_handler_of_its_own() -> None:
    names = {name for _, attributes in read(render(few())).elements for name in attributes}
    assert [name for name in names if name == "style" or name.startswith("on")] == []


def test_a_document_adds_no_element() -> None:
    quiet, loud = read(render(few())), read(render(hostile()))
    assert [tag for tag, _ in loud.elements] == [tag for tag, _ in quiet.elements]
    assert loud.texts["script"][1:] == quiet.texts["script"][1:]
    assert json.loads(loud.texts["script"][0]) == hostile()


def test_what_looks_like_a_place_of_the_template_stays_text() -> None:
    reader = read(render(document([{"name": "a"}], title="{{data}} {{scripts}}")))
    assert reader.texts["title"] == ["{{data}} {{scripts}}"]


def test_the_title_is_text() -> None:
    assert read(render(document([], title=HOSTILE[0]))).texts["title"] == [HOSTILE[0]]


def test_half_a_pair_of_surrogates_can_be_written() -> None:
    page = render(document([{"name": "caf\udce9.jpg"}], title="caf\udce9"))
    assert json.loads(read(page).texts["script"][0])["images"]["name"] == ["caf\udce9.jpg"]
    assert page.encode("utf-8")


def test_a_number_that_json_has_no_word_for_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON"):
        render(document([{"name": "a", "distance": float("nan")}]))


def test_the_page_is_small_beside_what_it_shows() -> None:
    assert len(render(document([])).encode()) < 900_000


def test_every_id_that_scripts_ask_for_is_there_once() -> None:
    reader = read(render(few()))
    ids = [attributes["id"] for _, attributes in reader.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r"\$\(\"([\w-]+)\"\)", reader.texts["script"][-1]))
    assert asked - set(ids) <= {"shown", "count-doubtful"}  # these two are made by scripts
