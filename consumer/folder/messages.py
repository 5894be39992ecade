"""What folder mode reads, as the messages that a camera would publish; the decoding threads read the files."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from consumer.messages import ENVELOPE_HEADER, ImageMessage, encode_envelope
from neardup.errors import BadInput
from neardup.sources.files import ImageSet
from neardup.sources.images import BrokenImage, BytesImage, FileImage, SourceImage, as_bad_input
from neardup.sources.names import name_of, text_of
from neardup.tidy.groups import JudgedFile
from neardup.wire import FILES_TOPIC

FILE_HEADER = "file"
"""Header that a verdict takes along: which file was judged, and as what it was found (`JudgedFile`, JSON)."""
REFERENCE = "reference:"
"""Begins the keys of the images that others are only compared with."""


@dataclass(frozen=True, slots=True)
class Found:
    """Images that were found.

    Attributes
    ----------
    images
        In order.
    root
        The folder or file that was named, without links.
    folder
        The folder that the image ids are paths below: the same, or the file's.
    is_reference
        Whether they are only compared with: then each is called by its whole path.
    """

    images: ImageSet
    root: Path
    folder: Path
    is_reference: bool = False


def messages_of(
    found: Iterable[Found], max_bytes: int, is_known: Callable[[JudgedFile], bool]
) -> Iterator[ImageMessage]:
    """Iterate over the messages of all images but those that are known from an earlier run."""
    offsets = count()
    for each in found:
        for image, offset in zip(each.images, offsets, strict=False):
            file = _judged_file(image, each)
            if file is None or not is_known(file):
                yield _message(image, offset, file, each, max_bytes)


def _message(image: SourceImage, offset: int, file: JudgedFile | None, found: Found, max_bytes: int) -> ImageMessage:
    image_id = _image_id(image, found).encode()
    headers: tuple[tuple[str, bytes], ...] = (("image_id", image_id),)
    envelope = None
    if isinstance(image, FileImage):
        envelope, headers = encode_envelope(Path(image.path).as_uri()), (*headers, ENVELOPE_HEADER)
    if file is not None:
        headers = (*headers, (FILE_HEADER, json.dumps(file.document()).encode()))
    return ImageMessage(
        FILES_TOPIC,
        0,
        offset,
        int(time.time() * 1000),
        image_id,
        envelope,
        headers,
        # So that this version of this file is judged only once.
        _unversioned(image, found) if file is None else file.key,
        partial(_read, _held(image, max_bytes), max_bytes),
    )


def _image_id(image: SourceImage, found: Found) -> str:
    if not found.is_reference:
        return image.image_id
    return text_of(image.path) if isinstance(image, FileImage) else f"{text_of(str(found.root))}/{image.image_id}"


def _held(image: SourceImage, max_bytes: int) -> SourceImage:
    """Return what is held until an image is its batch's turn: a frame's JPEG, as its pixels take far more memory."""
    if isinstance(image, FileImage | BrokenImage):
        return image
    try:
        return BytesImage(image.image_id, image.encoded(max_bytes))
    except (BadInput, OSError) as exc:
        return BrokenImage(image.image_id, exc)


def _read(image: SourceImage, max_bytes: int) -> bytes:
    try:
        return image.encoded(max_bytes)
    except (BadInput, OSError) as exc:
        raise as_bad_input(exc) from exc


def _judged_file(image: SourceImage, found: Found) -> JudgedFile | None:
    """Return what file an image comes from; None if there is none, or it is gone."""
    if isinstance(image, BrokenImage):
        return None
    of_clip, _, _ = image.image_id.rpartition("#t=")
    named = found.folder / name_of(image.image_id if isinstance(image, FileImage) else of_clip)
    path = Path(image.path) if isinstance(image, FileImage) else named
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    key = _unversioned(image, found)
    return JudgedFile(
        key=f"{key}:{status.st_size}:{status.st_mtime_ns}" if isinstance(image, FileImage) else key,
        path=str(path),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        is_image=isinstance(image, FileImage),
        by_link=path != named,
    )


def _unversioned(image: SourceImage, found: Found) -> str:
    begin = REFERENCE if found.is_reference else "file:"
    if isinstance(image, FileImage):
        return f"{begin}{text_of(image.path)}"
    return f"{begin}{text_of(str(found.root))}/{image.image_id}"
