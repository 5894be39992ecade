"""What is exported of a verdict and its image: one flat row, the same in every format."""

from dataclasses import dataclass
from typing import Any

from consumer.verdicts.told import ToldVerdict

_MOST = 1 << 63


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as an export can name it; None where it cannot.

    Attributes
    ----------
    name
        Its name below the folder of images: the file in ``--images``, else the path below the folder that was
        judged, or the URI.
    location
        Where it is: a path of this machine, or a URI.
    is_served
        Whether it is a URL by which the image is served, which may have no host: ``/static/a.jpg``.
    size_px
        Width and height as the image is shown, upright; None where it cannot be told.
    missing
        Why it cannot be named.
    """

    name: str | None = None
    location: str | None = None
    size_px: tuple[int, int] | None = None
    missing: str | None = None
    is_served: bool = False

    @property
    def path(self) -> str | None:
        """Where it is if that is a file of this machine."""
        is_path = self.location is not None and self.location.startswith("/") and not self.is_served
        return self.location if is_path else None


@dataclass(frozen=True, slots=True)
class Row:
    """A verdict, as tables have it; the fields are those of docs/labelling.md, in their order."""

    image_id: str
    verdict: str
    group: str
    duplicate_of: str | None
    distance: float | None
    radius: float
    symmetry: str | None
    cluster: int | None
    image: str | None
    width: int | None
    height: int | None
    captured_at: str | None
    decided_at: str | None
    index: str | None
    generation: int | None
    topic: str
    partition: int
    offset: int


def row_of(told: ToldVerdict, picture: Picture) -> Row:
    """Return the row of a verdict."""
    document, index = told.document, told.document.get("index")
    index = index if isinstance(index, dict) else {}
    generation = index.get("generation")
    width, height = picture.size_px or (None, None)
    return Row(
        image_id=told.image_id,
        verdict=told.verdict.value,
        group=told.group,
        duplicate_of=told.duplicate_of,
        distance=None if told.distance is None else float(told.distance),
        radius=float(told.radius),
        symmetry=_text(document.get("symmetry")),
        cluster=told.cluster,
        image=picture.location,
        width=width,
        height=height,
        captured_at=_text(document.get("captured_at")),
        decided_at=_text(document.get("decided_at")),
        index=_text(index.get("name")),
        generation=generation if isinstance(generation, int) and abs(generation) < _MOST else None,
        topic=told.source.topic,
        partition=told.source.partition,
        offset=told.source.offset,
    )


def _text(value: Any) -> str | None:  # noqa: ANN401 - whatever a document holds
    # Half of a pair of surrogates is text to JSON, and to nobody else.
    return value if isinstance(value, str) and value.encode(errors="ignore").decode() == value else None
