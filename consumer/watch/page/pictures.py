"""The pictures of a pair, small, for a browser: from the image topic, or from what the index keeps."""

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from PIL import Image

from consumer.verdicts.told import ToldVerdict
from consumer.watch.page.kept import Thumbnails
from consumer.watch.shown import shown
from neardup.decoding.decode import decode
from neardup.errors import BadInput, KafkaUnavailable, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumer.verdicts.images import FetchedImage, Images

SIDE_PX = 640
QUALITY = 80
_MOST_CACHED = 100
FROM_INDEX = "all that the index keeps of it: a small grey thumbnail"


class Side(StrEnum):
    """Which of a pair: the image that was judged, or the member that it duplicates."""

    IMAGE = "image"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture, or why there is none.

    Attributes
    ----------
    data
        A JPEG; empty when there is none.
    note
        Why there is none, or where it is from if it is not the image itself.
    """

    data: bytes
    note: str = ""


class Pictures:
    """Fetches pictures and makes them small, one at a time, and remembers some.

    Parameters
    ----------
    images
        Reads the image topic.
    thumbnails
        What the index keeps.
    """

    def __init__(self, images: "Images", thumbnails: Thumbnails) -> None:
        self._images = images
        self._thumbnails = thumbnails
        self._lock = threading.Lock()  # Kafka's consumer is of one thread at a time
        self._cached: OrderedDict[tuple[str, str | None], Picture] = OrderedDict()

    def of(self, told: ToldVerdict, side: Side) -> Picture:
        """Return one picture of a pair; blocks until Kafka has answered."""
        fetch, key, name = {
            Side.IMAGE: (self._images.fetch, str(told.source), told.image_id),
            Side.MEMBER: (self._images.fetch_member, told.member_key or "", told.duplicate_of),
        }[side]
        # By its name, too: not every verdict has the member's key, and a topic made anew has others at its places.
        cached = key, name
        with self._lock:
            if cached not in self._cached:
                picture = self._made(fetch, told, key)
                if picture is None:
                    return Picture(b"", "Kafka does not answer")
                self._cached[cached] = picture
                if len(self._cached) > _MOST_CACHED:
                    self._cached.popitem(last=False)
            return self._cached[cached]

    def _made(self, fetch: "Callable[[ToldVerdict], FetchedImage]", told: ToldVerdict, key: str) -> Picture | None:
        try:
            fetched = fetch(told)
        except KafkaUnavailable:
            return None
        except Misconfigured as error:
            return self._kept(key, str(error))
        if fetched.data is None:
            named = None if fetched.uri is None else f"named by its URI, which is not read here: {fetched.uri}"
            return self._kept(key, named or fetched.gone or "")
        try:
            return Picture(_jpeg(Image.fromarray(decode(fetched.data, reduce_to_px=SIDE_PX))))
        except BadInput as error:
            return self._kept(key, f"cannot be shown here: {error}")

    def _kept(self, key: str, why_not: str) -> Picture:
        thumbnail = self._thumbnails.of(key)
        if thumbnail is None:
            return Picture(b"", shown(why_not))
        return Picture(_jpeg(Image.fromarray(thumbnail)), FROM_INDEX)

    def close(self, timeout_s: float) -> None:
        """Let go of Kafka, unless somebody still waits for it."""
        if self._lock.acquire(timeout=timeout_s):
            self._images.close()


def _jpeg(image: Any) -> bytes:  # noqa: ANN401 - an Image of Pillow
    image.thumbnail((SIDE_PX, SIDE_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
