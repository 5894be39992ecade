"""Files of cameras, and what is said of those that are wrong; none of it shows a URL."""

from pathlib import Path

import pytest

from consumer.feeding.camera_file import Camera, cameras_in, named_cameras
from consumer.feeding.settings import duration_s
from neardup.errors import Misconfigured
from tests.support.feeding import Feed
from tests.support.processes import ROOT

SECRET = "hunter2"  # noqa: S105 - not one of ours
URL = f"rtsp://admin:{SECRET}@10.0.0.5:8554/user=admin&password={SECRET}&channel=1"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "cameras.toml"
    path.write_text(text)
    return str(path)


def table(**more: str) -> str:
    given = {"id": '"door"', "url": f'"{URL}"'} | more
    return "[[camera]]\n" + "".join(f"{key} = {value}\n" for key, value in given.items() if value)


def test_a_file_says_everything_of_each_camera(tmp_path: Path) -> None:
    text = table(every='"1m"', mask="[[0, 0, 200, 40], [[0, 0], [10, 0], [0, 10]]]") + table(id='"yard"', every="0.5")
    door, yard = cameras_in(written(tmp_path, text), 7.0)
    assert (door.id, door.url, door.every_s) == ("door", URL, 60)
    assert [region.corners for region in door.mask] == [((0, 0), (200, 40)), ((0, 0), (10, 0), (0, 10))]
    assert (yard.id, yard.every_s, yard.mask) == ("yard", 0.5, ())
    [plain] = cameras_in(written(tmp_path, table()), 7.0)
    assert plain.every_s == 7.0


def test_nothing_that_is_shown_of_a_camera_has_its_password() -> None:
    camera = Camera("door", URL)
    assert camera.place == "rtsp://10.0.0.5:8554"
    assert SECRET not in f"{camera!r} {camera}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (table(evry="5"), "camera 'door': there is no key 'evry'; did you mean every?"),
        (table(colour='"red"'), "camera 'door': there is no key 'colour'; there are id, url, every, mask"),
        ("every = 5\n" + table(), "there is no key 'every'; each camera is a [[camera]]"),
        (table(id=""), "camera 1: id: it is required"),
        (table(url=""), "camera 'door': url: it is required"),
        (table(url="5"), "camera 'door': url: it should be a text"),
        (table(url=f'"ftp://admin:{SECRET}@x/"'), "camera 'door': url: it should begin with rtsp://"),
        (table(url=f'"rtsp://admin:{SECRET}@/"'), "camera 'door': url: it names no host and port that can be"),
        (
            table(url=f'"rtsp://admin:{SECRET}@x:99999999/"'),
            "camera 'door': url: it names no host and port that can be",
        ),
        (table(id=r'"a\nb"'), "without control characters"),
        (table(id=f'"{"x" * 201}"'), "at most 200 bytes"),
        (table(every='"soon"'), "camera 'door': every: it should be seconds, up to a day"),
        (table(every="true"), "camera 'door': every: it should be a number of seconds"),
        (table(every="-1"), "camera 'door': every: it should be seconds"),
        (table(mask="[[0, 0, 10]]"), "camera 'door': mask: [0, 0, 10]: it should be [x, y, width, height] or corners"),
        (table(mask='["0,0,10,10"]'), "mask: 0,0,10,10: it should be [x, y, width, height]"),
        (table(mask="[[0, 0, 0, 10]]"), "a rectangle needs a width and a height above 0"),
        (table(mask="[[-5, 0, 10, 10]]"), "there are no negative numbers in it"),
        (table(mask="5"), "mask: it should be a list of regions"),
        (table() + table(), "there are 2 cameras with the id 'door'"),
        ("", "write [[camera]], in two brackets"),
        ("[camera]\nid = 'door'", "write [[camera]], in two brackets"),
        (f'[[camera]]\nurl = "{URL}\n', "cannot be read: it is no TOML, at line 2"),
        (f'url = "{URL}"\na = ' + "[" * 100_000, "cannot be read: it is no TOML, nested too deep"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(feed: Feed, tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    fed = feed("--cameras", path)
    assert fed.code == 2
    assert [line for line in fed.said if said in line] == fed.said
    assert fed.said[0].startswith(f"feed: --cameras: '{path}'")
    assert SECRET not in "".join(fed.said)


def test_everything_that_is_wrong_is_told_at_once(feed: Feed, tmp_path: Path) -> None:
    fed = feed("--cameras", written(tmp_path, table(evry="5", mask="1") + table(id="", url='"x"')))
    assert len(fed.said) == 4


def test_a_file_that_cannot_be_read_is_told(feed: Feed, tmp_path: Path) -> None:
    (tmp_path / "cameras.toml").write_bytes(b"\xff\xfe")
    assert feed("--cameras", tmp_path / "none.toml").said[0].endswith("cannot be read: No such file or directory")
    assert feed("--cameras", tmp_path).said[0].endswith("cannot be read: Is a directory")
    assert feed("--cameras", tmp_path / "cameras.toml").said[0].endswith("cannot be read: it is no UTF-8 text")


def test_a_camera_of_the_command_line_is_called_by_its_host() -> None:
    [camera] = named_cameras(["rtsp://cam:8554/stream?x=1"], 5.0, ())
    assert (camera.id, camera.every_s) == ("cam:8554", 5.0)
    with pytest.raises(Misconfigured, match="two cameras of one host need names"):
        named_cameras(["rtsp://cam/1", "rtsp://cam/2"], 5.0, ())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cameras", "c.toml", "folder"], "--cameras and PATH contradict one another"),
        (["--cameras", "c.toml", "--mask", "0,0,1,1"], "each camera has its own in the file"),
        (["rtsp://cam/1", "--follow"], "--follow: name one folder"),
        (["rtsp://cam/1", "--loop"], "--loop is for what has an end: it does not go with a camera"),
        (["rtsp://cam/1", "--oversize", "uri"], "--oversize uri is for files"),
        (["rtsp://cam/1", "--every", "soon"], "--every: 'soon' is wrong: it should be seconds, up to a day"),
    ],
)
def test_what_does_not_go_with_cameras_is_told(feed: Feed, arguments: list[str], said: str) -> None:
    fed = feed(*arguments)
    assert fed.code == 2
    assert [line for line in fed.said if said in line] == fed.said


@pytest.mark.parametrize(
    ("text", "expected"), [("5", 5), ("0", 0), ("500ms", 0.5), ("5s", 5), ("1m", 60), ("2h", 7200)]
)
def test_durations(text: str, expected: float) -> None:
    assert duration_s(text) == pytest.approx(expected)


def test_the_example_is_a_file_of_cameras() -> None:
    door, yard = cameras_in(str(ROOT / "examples/cameras.toml"), 1.0)
    assert (door.id, door.place, door.every_s, len(door.mask)) == ("door", "rtsp://10.0.0.5:8554", 5, 2)
    assert (yard.id, yard.place, yard.every_s, yard.mask) == ("yard", "http://10.0.0.6", 0.5, ())
