"""The settings of the feed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consumer.settings import KafkaSettings, delivery_option
from neardup.settings.options import option
from neardup.settings.parsers import number, one_of
from neardup.settings.subjects import FILES, RUNNING, TOPICS

if TYPE_CHECKING:
    from neardup.sources.mask import Region

SKIP = "skip"
RECOMPRESS = "recompress"
URI = "uri"
STANDARD_INPUT = "-"
_AS_FAST = "max"
_A_DAY_S = 24 * 60 * 60
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 60 * 60}
_SCHEMES = ("rtsp://", "rtsps://", "http://", "https://")
_OF_FOLLOWING = ("state", "settle_s", "look_every_s", "delivery")


def is_url(path: str) -> bool:
    """Return whether a path is the address of a camera."""
    return path.lower().startswith(_SCHEMES)


def speed(text: str) -> float | None:
    """Parse how many times as fast as it was taken; None for as fast as it goes."""
    if text == _AS_FAST:
        return None
    try:
        return number(0.001, 1e6)(text.removesuffix("x"))
    except ValueError:
        raise ValueError("it should be 1x, 2x, 0.5x or another number and x, or max") from None


def rate_option() -> Any:  # noqa: ANN401 - stands where a field's default stands
    """Declare how many images a second are published."""
    return option(
        "--rate",
        "images per second; 0 sends as fast as the broker accepts them",
        0.0,
        number(0, 1e6),
        subject=RUNNING,
        common=True,
    )


def pace_option() -> Any:  # noqa: ANN401 - as above
    """Declare how fast images are published beside how fast they were taken."""
    return option(
        "--pace",
        "send as fast as the pictures were taken (1x), or a multiple of that (2x, 0.5x); max is without regard to it",
        None,
        speed,
        subject=RUNNING,
    )


def key_option() -> Any:  # noqa: ANN401 - as above
    """Declare the key of all messages."""
    return option(
        "--key", "key of every message, such as a camera's name; one key keeps its order", None, subject=TOPICS
    )


def source_option() -> Any:  # noqa: ANN401 - as above
    """Declare what the header says that images come from."""
    return option("--source", "value of the source header", None, subject=TOPICS)


def duration_s(text: str) -> float:
    """Parse a duration to seconds, such as ``0.5``, ``500ms``, ``5s`` or ``1m``."""
    unit = next((unit for unit in _UNITS_S if text.endswith(unit)), "")
    try:
        return number(0, _A_DAY_S)(text.removesuffix(unit)) * _UNITS_S.get(unit, 1)
    except ValueError:
        raise ValueError("it should be seconds, up to a day, or a number with ms, s, m or h, such as 5s") from None


def mask(text: str) -> tuple["Region", ...]:
    """Parse the regions of a mask."""
    from neardup.sources.mask import region  # noqa: PLC0415 - --help must not wait for numpy

    return tuple(map(region, text.split(";")))


@dataclass(frozen=True)
class FeedSettings(KafkaSettings):
    """All settings of the feed, ``neardup feed``."""

    paths: tuple[str, ...] = option(
        "PATH",
        "images, folders (searched recursively), video clips, tar archives or a camera's URL; "
        "- is standard input, a tar archive or a list of paths",
        (),
        subject=FILES,
        common=True,
        many=True,
        aliases=("--input",),
    )
    null: bool = option(
        "--null",
        "the list on standard input has a NUL after each path, as of find -print0",
        default=False,
        subject=FILES,
    )
    cameras: str | None = option(
        "--cameras", "TOML file of cameras to watch: url, every and mask of each", None, subject=FILES, common=True
    )
    mask: tuple["Region", ...] = option(
        "--mask",
        "regions that are blanked in every picture, with ; between them: X,Y,WIDTH,HEIGHT, or corners X,Y X,Y X,Y",
        (),
        mask,
        subject=FILES,
    )
    follow: bool = option(
        "--follow", "go on with what comes into the folder, each file once", default=False, subject=FILES, common=True
    )
    state: str | None = option(
        "--state",
        "with --follow: file that remembers what was published (default: one for the folder and topic, of this user)",
        None,
        subject=FILES,
    )
    settle_s: float = option(
        "--settle-s",
        "with --follow: seconds that a file's size and time must rest before it counts as complete",
        2.0,
        number(0, 3600),
        subject=FILES,
    )
    look_every_s: float = option(
        "--look-every-s",
        "with --follow: seconds from one look through the whole folder to the next, for network drives",
        10.0,
        number(0.1, _A_DAY_S),
        subject=FILES,
    )
    every_s: float = option(
        "--every",
        "least time from one picture of a camera to the next: seconds, or such as 500ms, 5s, 1m",
        1.0,
        duration_s,
        subject=FILES,
    )
    rate: float = rate_option()
    pace: float | None = pace_option()
    loop: bool = option(
        "--loop", "start over after the last image, until stopped", default=False, subject=RUNNING, common=True
    )
    fps: float = option("--fps", "frames per second taken from a video clip", 1.0, number(0.001, 1000), subject=FILES)
    key: str | None = key_option()
    source: str | None = source_option()
    delivery: str = delivery_option()
    oversize: str = option(
        "--oversize",
        "an image that the topic does not take: skip it, recompress it (a smaller JPEG), or publish the file's uri",
        SKIP,
        one_of(SKIP, RECOMPRESS, URI),
        subject=TOPICS,
    )

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of cameras among the paths."""
        return tuple(filter(is_url, self.paths))

    @classmethod
    def refused(cls, flags: Mapping[str, str], given: Mapping[str, Any]) -> Iterator[str]:
        """Yield a line for each flag that has no effect, and for what contradicts."""
        paths = given.get("paths", ())
        watches = bool(given.get("cameras")) or any(map(is_url, paths))
        yield from _refused_of_input(paths, given)
        if not given.get("follow"):
            yield from (f"{flags[name]} works only with --follow" for name in _OF_FOLLOWING if name in flags)
        if "every_s" in flags and not watches:
            yield "--every is for cameras; of a video clip --fps says how many frames are taken"
        if given.get("rate") and given.get("pace") is not None:
            yield "--rate and --pace contradict one another"
        if given.get("loop") and given.get("pace") is not None:
            yield "--loop and --pace contradict one another: in a second pass all moments have gone by"
        if watches or given.get("follow"):
            what = "--follow" if given.get("follow") else "a camera"
            for name in ("loop", "pace"):
                if given.get(name):
                    yield f"--{name} is for what has an end: it does not go with {what}"
        if watches and given.get("oversize") == URI:
            yield "--oversize uri is for files; a camera's pictures can be skipped or recompressed"


def _refused_of_input(paths: tuple[str, ...], given: Mapping[str, Any]) -> Iterator[str]:
    piped, follows = STANDARD_INPUT in paths, given.get("follow")
    if given.get("cameras") and given.get("mask"):
        yield "--mask is for what is named here; each camera has its own in the file"
    if given.get("cameras") and paths:
        yield "--cameras and PATH contradict one another: name the cameras in the file"
    if any(map(is_url, paths)) and not all(map(is_url, paths)):
        yield "PATH: cameras and files cannot be fed by one command"
    if any(is_url(path) and "@" in path.split("//", 1)[1].split("/", 1)[0] for path in paths):
        yield "PATH: a URL with a password belongs in a file for --cameras: everyone here can list command lines"
    if piped and len(paths) > 1:
        yield "PATH: - stands for standard input, and nothing else can be named beside it"
    if piped and given.get("loop"):
        yield "--loop: standard input can be read once only"
    if given.get("null") and not piped:
        yield "--null works only with -, a list on standard input"
    if follows and (len(paths) != 1 or piped or any(map(is_url, paths))):
        yield "--follow: name one folder; start a feed for each"
