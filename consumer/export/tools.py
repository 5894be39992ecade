"""What labelling tools import: COCO, Label Studio, CVAT and FiftyOne, image by image."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, TextIO
from urllib.parse import quote, urlsplit
from xml.etree.ElementTree import Element, SubElement, tostring

from consumer.export.rows import Picture, Row
from consumer.export.tables import Write
from neardup import __version__
from neardup.errors import Misconfigured
from neardup.tidy.lines import Document, cannot_write, replacing, text_of
from neardup.types import Verdict

LOCAL_FILES = "/data/local-files/?d="
"""What Label Studio calls files of its own machine: below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, here the root."""
_FIELDS = {"group": "group_of_duplicates", "source": "source_message"}
"""What FiftyOne keeps for itself, or may."""
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ATTRIBUTES = ("image_id", "group", "duplicate_of", "distance", "cluster", "source")


def attributes_of(row: Row) -> dict[str, Any]:
    """Return what tools show of a row beside its image."""
    source = f"{row.topic}-{row.partition}-{row.offset}"
    return {name: value for name, value in {**asdict(row), "source": source}.items() if name in _ATTRIBUTES}


@contextmanager
def _array(file: TextIO, before: str, after: str) -> Iterator["_Array"]:
    file.write(before)
    yield _Array(file)
    file.write(after)


class _Array:
    """Writes the items of a JSON array, none of which has to be in memory with another."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._between = "\n"

    def add(self, item: Document) -> None:
        self._file.write(f"{self._between}{text_of(item)}")
        self._between = ",\n"


@contextmanager
def coco_file(path: Path) -> Iterator[Write]:
    """Write images to be annotated in COCO's format; of each, ``neardup`` tells the verdict.

    Raises
    ------
    Misconfigured
        It cannot be written; an earlier file is as it was.
    """
    info = json.dumps({"description": "images by verdict", "version": f"neardup {__version__}"})
    before = f'{{"info":{info},"licenses":[],"categories":[],"annotations":[],"images":['
    numbers = count(1)
    with replacing(path) as file, _array(file, before, "\n]}\n") as images:

        def write(row: Row, picture: Picture) -> None:
            size = {} if row.width is None else {"width": row.width, "height": row.height}
            url = {} if picture.location == picture.path else {"coco_url": picture.location}
            captured = {} if row.captured_at is None else {"date_captured": row.captured_at}
            told = {"verdict": row.verdict, **attributes_of(row)}
            images.add({"id": next(numbers), "file_name": picture.name, **size, **url, **captured, "neardup": told})

        yield write


@contextmanager
def labelstudio_file(path: Path) -> Iterator[Write]:
    """Write tasks for Label Studio: an image, and what its verdict says, as ``data``; raises as `coco_file`."""
    with replacing(path) as file, _array(file, "[", "\n]\n") as tasks:

        def write(row: Row, picture: Picture) -> None:
            data = {"image": _url(picture), "verdict": row.verdict, **attributes_of(row)}
            tasks.add({"data": data, "meta": {"index": row.index, "generation": row.generation}})

        yield write


def _url(picture: Picture) -> str:
    location = picture.location or ""
    if location.startswith("file:"):
        path = urlsplit(location).path
    elif picture.path is not None:
        path = quote(picture.path)
    else:
        return location
    return f"{LOCAL_FILES}{path.lstrip('/')}"


@contextmanager
def cvat_file(path: Path) -> Iterator[Write]:
    """Write "CVAT for images 1.1": a tag for each image, ``unique`` or ``duplicate``; raises as `coco_file`."""
    numbers = count()
    with replacing(path) as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n')
        file.write(f"{_as_text(_labels())}\n")

        def write(row: Row, picture: Picture) -> None:
            # CVAT wants a size, and goes by the name.
            size = {"width": str(row.width or 0), "height": str(row.height or 0)}
            image = Element("image", {"id": str(next(numbers)), "name": _valid(picture.name or ""), **size})
            tag = SubElement(image, "tag", {"label": row.verdict, "source": "auto"})
            for name, value in attributes_of(row).items():
                _add(tag, "attribute", "" if value is None else str(value), name=name)
            file.write(f"{_as_text(image)}\n")

        yield write
        file.write("</annotations>\n")


def _labels() -> Element:
    meta = Element("meta")
    labels = SubElement(SubElement(meta, "task"), "labels")
    for verdict in Verdict:
        label = SubElement(labels, "label")
        _add(label, "name", verdict.value)
        _add(label, "type", "tag")
        attributes = SubElement(label, "attributes")
        for name in _ATTRIBUTES:
            attribute = SubElement(attributes, "attribute")
            for told, value in (("name", name), ("mutable", "False"), ("input_type", "text"), ("default_value", "")):
                _add(attribute, told, value)
            _add(attribute, "values", "")
    return meta


def _add(parent: Element, tag: str, text: str, **attributes: str) -> None:
    SubElement(parent, tag, attributes).text = _valid(text)


def _as_text(element: Element) -> str:
    return tostring(element, "unicode")


def _valid(text: str) -> str:
    """Replace what XML cannot hold, not even escaped."""
    return _NOT_XML.sub("\ufffd", text)


@contextmanager
def fiftyone_folder(path: Path) -> Iterator[Write]:
    """Write a folder that FiftyOne imports as a FiftyOneDataset; the images stay where they are.

    Raises
    ------
    Misconfigured
        The folder is there and not empty, or cannot be written.
    """
    unfinished: Path | None = None
    try:
        _require_free(path)
        unfinished = Path(mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        unfinished.chmod(0o755)
        (unfinished / "metadata.json").write_text('{"media_type": "image"}\n', "utf-8")
        with replacing(unfinished / "samples.json") as file, _array(file, '{"samples":[', "\n]}\n") as samples:
            yield lambda row, picture: samples.add(_sample(row, picture))
        unfinished.replace(path)
    except BaseException as exc:
        if unfinished is not None:
            rmtree(unfinished, ignore_errors=True)
        if isinstance(exc, OSError):
            raise cannot_write(exc, path) from exc
        raise


def _require_free(path: Path) -> None:
    if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
        raise Misconfigured(f"--output {path}: it is there and no empty folder; name another one")


def _sample(row: Row, picture: Picture) -> Document:
    told: Sequence[tuple[str, Any]] = [(name, value) for name, value in attributes_of(row).items() if value is not None]
    verdict = {"_cls": "Classification", "label": row.verdict}
    return {
        "filepath": picture.path,
        "tags": [row.verdict],
        "verdict": verdict,
        **{_FIELDS.get(name, name): value for name, value in told},
    }
