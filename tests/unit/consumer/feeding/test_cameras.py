"""Cameras over HTTP, real ones as far as FFmpeg can tell; the messages go to memory."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest

pytest.importorskip("av", reason="extra cameras is not installed")

import av

from consumer.feeding import cameras
from consumer.feeding.camera_file import Camera
from consumer.feeding.camera_stream import CameraAway, CameraStream
from consumer.feeding.cameras import Watched
from neardup.decoding.decode import decode
from neardup.errors import Misconfigured
from neardup.sources.mask import region
from neardup.sources.smaller import as_jpeg
from neardup.types import Pixels
from tests.support.cameras import PASSWORD, SIZE, USER, HttpCamera, scene
from tests.support.feeding import Feed
from tests.support.processes import eventually

LOGIN = f"{USER}:{quote(PASSWORD, safe='')}"


@pytest.fixture
def camera() -> Iterator[HttpCamera]:
    """Watch a view that changes with each picture."""
    numbers = count()
    with HttpCamera(lambda: scene(next(numbers) % 50)) as running:
        yield running


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cameras, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(cameras, "LONGEST_WAIT_S", 0.05)


def pictures_of(url: str, number: int, every_s: float = 0.0) -> list[Pixels]:
    return list(islice(CameraStream(Camera("door", url, every_s)).pictures(), number))


def written(tmp_path: Path, *tables: str) -> Path:
    path = tmp_path / "cameras.toml"
    path.write_text("".join(f"[[camera]]\n{table}\n" for table in tables))
    return path


def test_pictures_say_when_they_came_and_from_which_camera(feed: Feed, camera: HttpCamera, tmp_path: Path) -> None:
    path = written(tmp_path, f'id = "door"\nurl = "{camera.url()}"\nevery = 0')
    fed = feed("--cameras", path, stop_after=3)
    assert fed.code == 0
    for message in fed.sink.topics["images"][:3]:
        headers = dict(message.headers)
        assert message.key == headers["source"] == b"door"
        moment = int(headers["captured_at"])  # type: ignore[arg-type]
        assert headers["image_id"].startswith(b"door/20")  # type: ignore[union-attr]
        assert headers["image_id"].endswith(b"%03dZ" % (moment % 1000))  # type: ignore[union-attr]
        assert decode(message.value or b"").shape == (SIZE[1], SIZE[0], 3)
    assert fed.said[0] == f"feed: camera door at http://127.0.0.1:{camera.port}: pictures of 320x240 pixels"
    assert fed.said[-1].startswith("feed: stopped: ")
    assert fed.said[-2].startswith("feed: camera door: ")


def test_key_and_source_can_be_said_otherwise(feed: Feed, camera: HttpCamera) -> None:
    fed = feed(camera.url(), "--every", "0", "--key", "k", "--source", "s", stop_after=1)
    message = fed.sink.topics["images"][0]
    assert (message.key, dict(message.headers)["source"]) == (b"k", b"s")
    assert fed.ids[0].startswith(f"127.0.0.1:{camera.port}/20")


def grey(number: int) -> bytes:
    return as_jpeg(np.full((48, 64, 3), number, np.uint8))


def test_of_a_stream_pictures_are_taken_as_far_apart_as_told(camera: HttpCamera) -> None:
    numbers, seconds = count(), count()
    camera.picture, camera.every_s = lambda: grey(next(numbers)), 0.0
    # A second passes each time that somebody looks at the clock: once for a picture that is passed over, thrice else.
    stream = CameraStream(Camera("door", camera.url(), 5.0), lambda: float(next(seconds)))
    taken = [round(float(picture.mean())) for picture in islice(stream.pictures(), 3)]
    assert taken[2] - taken[1] == taken[1] - taken[0] == 5


@pytest.mark.parametrize("path", ["picture.jpg", "cgi-bin/picture?channel=1"])
def test_single_pictures_are_taken_as_far_apart_as_told(camera: HttpCamera, path: str) -> None:
    now = [0.0]
    stream = CameraStream(Camera("door", camera.url(path), 5.0), lambda: now[0])
    assert len(list(stream.pictures())) == 1
    now[0] = 4.9
    assert list(stream.pictures()) == []
    now[0] = 5.0
    assert len(list(stream.pictures())) == 1


def test_of_a_connection_that_is_made_anew_too_soon_nothing_is_taken(camera: HttpCamera) -> None:
    sent = count()
    camera.picture = lambda: None if next(sent) % 4 == 3 else scene(1)
    stream = CameraStream(Camera("door", camera.url(), 5.0), lambda: 100.0)
    assert len(list(islice(stream.pictures(), 1))) == 1
    with pytest.raises(CameraAway):
        next(stream.pictures())


@pytest.mark.parametrize("path", ["video", "picture.jpg"])
def test_a_password_is_used_and_never_shown(feed: Feed, camera: HttpCamera, tmp_path: Path, path: str) -> None:
    camera.login_wanted = True
    good, bad = camera.url(path, LOGIN), camera.url(path, f"{USER}:wr0ng")
    config = written(tmp_path, f'id = "good"\nurl = "{good}"', f'id = "bad"\nurl = "{bad}?token=wr0ng"')
    fed = feed("--cameras", config, stop_after=1)
    assert fed.ids[0].startswith("good/")
    everything = "\n".join(fed.said) + repr(fed.sink.topics)
    assert not [
        secret for secret in (PASSWORD, quote(PASSWORD, safe=""), "s3cret", "wr0ng", USER) if secret in everything
    ]


def test_a_wrong_password_is_told(camera: HttpCamera) -> None:
    camera.login_wanted = True
    with pytest.raises(CameraAway, match=r"^Server returned 401 Unauthorized \(authorization failed\)$"):
        pictures_of(camera.url(login=f"{USER}:wrong"), 1)


def test_a_camera_that_is_away_is_waited_for_and_the_others_go_on(
    feed: Feed, camera: HttpCamera, tmp_path: Path
) -> None:
    config = written(
        tmp_path, 'id = "gone"\nurl = "http://127.0.0.1:1/x"', f'id = "door"\nurl = "{camera.url()}"\nevery = 0'
    )
    fed = feed("--cameras", config, stop_after=3)
    assert fed.code == 0
    assert {image_id.partition("/")[0] for image_id in fed.ids} == {"door"}
    away = [line for line in fed.said if line.startswith("feed: camera gone at http://127.0.0.1:1: ")]
    assert away[0].startswith("feed: camera gone at http://127.0.0.1:1: Connection refused; trying again in ")


def test_a_connection_that_ends_is_made_anew(feed: Feed, camera: HttpCamera) -> None:
    sent = count()
    camera.picture = lambda: None if (number := next(sent)) % 4 == 3 else scene(number)
    fed = feed(camera.url(), "--every", "0", stop_after=4)
    assert fed.code == 0
    assert len(camera.requests) >= 2
    assert [line for line in fed.said if "; trying again in " in line]
    assert len([line for line in fed.said if "pictures of 320x240 pixels" in line]) >= 2


@pytest.mark.parametrize(
    ("path", "why"), [("video", "it sends what cannot be decoded"), ("picture.jpg", "it sends no picture")]
)
def test_rubbish_is_no_picture(camera: HttpCamera, path: str, why: str) -> None:
    camera.picture, camera.every_s = lambda: b"rubbish" * 100, 0.0
    with pytest.raises(CameraAway, match=why):
        pictures_of(camera.url(path), 1)


def test_a_page_is_no_video(camera: HttpCamera) -> None:
    camera.picture = lambda: b"<html>log in</html>"
    with pytest.raises(CameraAway, match="it sends no video"):
        pictures_of(camera.url("index.html"), 1)


def test_rubbish_between_pictures_is_passed_over(camera: HttpCamera) -> None:
    sent = count()
    camera.picture = lambda: b"rubbish" if next(sent) % 3 == 1 else scene(1)
    assert len(pictures_of(camera.url(), 5)) == 5


# Masks.


def clocked(camera: HttpCamera) -> None:
    seconds = count()
    camera.picture = lambda: scene(1, f"12:00:{next(seconds) % 60:02}")


def test_a_clock_under_a_mask_makes_no_difference(feed: Feed, camera: HttpCamera, tmp_path: Path) -> None:
    clocked(camera)
    config = written(tmp_path, f'id = "door"\nurl = "{camera.url()}"\nevery = 0\nmask = [[0, 0, 168, 40]]')
    masked = feed("--cameras", config, stop_after=5).sink.values
    plain = feed(camera.url(), "--every", "0", stop_after=5).sink.values
    assert len({*plain}) > 1
    # Around the clock JPEG leaves traces in the camera's own picture, so the mask is a little larger.
    assert len({*masked}) == 1


def test_a_mask_that_does_not_fit_the_first_picture_ends_it(feed: Feed, camera: HttpCamera) -> None:
    fed = feed(camera.url(), "--mask", "300,0,40,20")
    assert fed.code == 2
    assert "mask 300,0,40,20: it reaches outside the picture of 320x240 pixels; nothing is published" in fed.said[0]


def test_one_camera_that_is_given_up_leaves_the_others(feed: Feed, camera: HttpCamera, tmp_path: Path) -> None:
    url = camera.url()
    config = written(
        tmp_path, f'id = "bad"\nurl = "{url}"\nmask = [[0, 0, 999, 9]]', f'id = "door"\nurl = "{url}"\nevery = 0'
    )
    fed = feed("--cameras", config, stop_after=30)
    assert fed.code == 0
    assert {image_id.partition("/")[0] for image_id in fed.ids} == {"door"}
    assert [line for line in fed.said if "camera bad: mask [0, 0, 999, 9]: it reaches outside" in line]


class Sizes:
    """A camera whose pictures change their size at each connection."""

    def __init__(self, *sizes: int) -> None:
        self._sizes = iter(sizes)

    def pictures(self) -> Iterator[Pixels]:
        size = next(self._sizes, None)
        if size is None:
            raise CameraAway("it is gone")
        yield np.zeros((size, size, 3), np.uint8)
        raise CameraAway("it ended the stream")


def test_a_camera_that_changes_its_size_later_is_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    stop, sizes = threading.Event(), Sizes(50, 20, 50)
    watched = Watched([Camera("door", "rtsp://x/", 0.0, (region("0,0,30,30"),))], stop, lambda _: sizes)
    taken: list[str] = []

    def two() -> bool:
        taken.extend(each.image_id for each in watched.newest(0.05))
        return len(taken) >= 2

    with watched.running():
        eventually(two, "two pictures")
    assert "it reaches outside the picture of 20x20 pixels; trying again" in capsys.readouterr().err


def test_of_what_nobody_takes_the_newest_is_kept_and_the_rest_is_counted() -> None:
    stop, done = threading.Event(), threading.Event()

    class Many:
        def pictures(self) -> Iterator[Pixels]:
            yield from (np.full((4, 4, 3), number, np.uint8) for number in range(10))
            done.set()
            stop.wait(60)

    watched = Watched([Camera("door", "rtsp://x/", 0.0)], stop, lambda _: Many())
    with watched.running():
        assert done.wait(60)
        [newest] = watched.newest(0.0)
    assert int(newest.frame[0, 0, 0]) == 9
    assert list(watched.told_in_sum()) == ["camera door: 10 pictures, 9 dropped for newer ones, 1 connection"]


def test_when_all_are_given_up_it_ends() -> None:
    stop = threading.Event()
    mask = (region("0,0,30,30"),)
    watched = Watched([Camera(name, "rtsp://x/", 0.0, mask) for name in "ab"], stop, lambda _: Sizes(20))
    with watched.running(), pytest.raises(Misconfigured) as raised:
        eventually(lambda: watched.newest(0.05), "the end")
    assert len(str(raised.value).splitlines()) == 2


def test_a_fault_of_ours_ends_it_rather_than_one_camera_unseen() -> None:
    class Faulty:
        def pictures(self) -> Iterator[Pixels]:
            raise RuntimeError("a fault")

    cameras = [Camera("bad", "rtsp://x/", 0.0), Camera("door", "rtsp://y/", 0.0)]
    watched = Watched(cameras, threading.Event(), lambda camera: Faulty() if camera.id == "bad" else Sizes(20))
    with watched.running(), pytest.raises(RuntimeError, match="a fault"):
        eventually(lambda: watched.newest(0.05) and False, "the end")


# HLS.


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, Callable[[str], str]]]:
    """Give a folder, and the URLs of its files."""
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield folder, lambda name: f"http://127.0.0.1:{server.server_address[1]}/{name}"
        finally:
            server.shutdown()
            thread.join()


def hls(folder: Path, seconds: int) -> None:
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(folder / "live.m3u8"), "w", format="hls", options=options) as out:
        stream = out.add_stream("mpeg2video", rate=25)
        stream.width, stream.height = SIZE
        stream.codec_context.gop_size = 25
        for number in range(seconds * 25):
            pixels = np.full((SIZE[1], SIZE[0], 3), number, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        out.mux(stream.encode(None))


def test_hls_comes_in_bursts_and_is_taken_by_its_own_clock(served: tuple[Path, Callable[[str], str]]) -> None:
    folder, url = served
    hls(folder, seconds=6)
    pictures = CameraStream(Camera("door", url("live.m3u8"), 2.0)).pictures()
    taken = [next(pictures) for _ in range(3)]
    with pytest.raises(CameraAway, match="it ended the stream"):
        next(pictures)
    assert [round(float(picture.mean()) / 25) for picture in taken] == [0, 2, 4]


def test_a_playlist_cannot_make_us_read_our_own_files(
    served: tuple[Path, Callable[[str], str]], tmp_path: Path
) -> None:
    folder, url = served
    hls(tmp_path, seconds=2)
    segment = next(tmp_path.glob("*.ts"))
    (folder / "bad.m3u8").write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{segment}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(CameraAway):
        pictures_of(url("bad.m3u8"), 1)
