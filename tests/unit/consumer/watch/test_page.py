"""The page: what it is told, its pictures, and what it answers to whom."""

import asyncio
import base64
import io
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from consumer.verdicts.images import FetchedImage
from consumer.verdicts.told import ToldVerdict
from consumer.watch.page import server
from consumer.watch.page.document import document_of
from consumer.watch.page.kept import Thumbnails
from consumer.watch.page.pictures import FROM_INDEX, SIDE_PX, Picture, Pictures, Side
from consumer.watch.page.server import ASSETS, HEADERS, Page
from consumer.watch.tally import Tally
from neardup.errors import KafkaUnavailable, Misconfigured
from neardup.index.stored.codec import encode_member
from neardup.relation.kept import Parts, kept_of
from neardup.types import Member
from tests.support.outcomes import letter, told, verdict_record
from tests.support.processes import photo

MARKUP = "<img src=x onerror=alert(1)>\u202e.jpg"


class Stored:
    """Stands for `Images`: what the topic has, and how often it was asked."""

    def __init__(self, image: FetchedImage | Exception, member: FetchedImage | Exception | None = None) -> None:
        self.answers = {"image": image, "member": member or image}
        self.asked: list[str] = []
        self.closed = False

    def fetch(self, _told: ToldVerdict) -> FetchedImage:
        return self._answer("image")

    def fetch_member(self, _told: ToldVerdict) -> FetchedImage:
        return self._answer("member")

    def _answer(self, side: str) -> FetchedImage:
        self.asked.append(side)
        answer = self.answers[side]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.closed = True


def pictures_of(stored: Stored, thumbnails: Thumbnails | None = None) -> Pictures:
    return Pictures(stored, thumbnails or Thumbnails())  # type: ignore[arg-type]


PAIR = told("b.jpg", "a.jpg")


def test_a_picture_is_made_small_and_remembered() -> None:
    stored = Stored(FetchedImage(data=photo(1, size=(1600, 800))))
    pictures = pictures_of(stored)
    first = pictures.of(PAIR, Side.IMAGE)
    with Image.open(io.BytesIO(first.data)) as image:
        assert (image.format, image.size) == ("JPEG", (SIDE_PX, SIDE_PX // 2))
    assert pictures.of(PAIR, Side.IMAGE) is first
    pictures.of(PAIR, Side.MEMBER)
    assert stored.asked == ["image", "member"]


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (FetchedImage(gone="images-1-7 is no longer in its topic"), "images-1-7 is no longer in its topic"),
        (FetchedImage(uri="https://a/\x1b"), "named by its URI, which is not read here: https://a/\\x1b"),
        (FetchedImage(data=b"garbage"), "cannot be shown here: no decoder recognises"),
        (Misconfigured("no right to the topic"), "no right to the topic"),
        (KafkaUnavailable("away"), "Kafka does not answer"),
    ],
)
def test_why_there_is_no_picture_is_said(answer: FetchedImage | Exception, note: str) -> None:
    picture = pictures_of(Stored(answer)).of(PAIR, Side.IMAGE)
    assert picture.data == b""
    assert picture.note.startswith(note)


def test_an_outage_is_not_remembered() -> None:
    stored = Stored(KafkaUnavailable("away"))
    pictures = pictures_of(stored)
    assert not pictures.of(PAIR, Side.IMAGE).data
    stored.answers["image"] = FetchedImage(data=photo(1))
    assert pictures.of(PAIR, Side.IMAGE).data


def test_members_without_a_key_are_not_taken_for_one_another() -> None:
    stored = Stored(FetchedImage(gone="a.jpg came by no message"))
    pictures = pictures_of(stored)
    pictures.of(told("b.jpg", "a.jpg", member=None), Side.MEMBER)
    stored.answers["member"] = FetchedImage(gone="other.jpg came by no message")
    assert pictures.of(told("c.jpg", "other.jpg", member=None), Side.MEMBER).note == "other.jpg came by no message"


def test_a_place_of_a_topic_that_was_made_anew_has_another_picture() -> None:
    stored = Stored(FetchedImage(data=photo(1)))
    pictures = pictures_of(stored)
    before = pictures.of(told("b.jpg", "a.jpg"), Side.IMAGE)
    stored.answers["image"] = FetchedImage(data=photo(2))
    assert pictures.of(told("later.jpg", "a.jpg"), Side.IMAGE).data != before.data


def member_header(parts: Parts) -> tuple[tuple[str, bytes], ...]:
    pixels = np.asarray(Image.open(io.BytesIO(photo(3))).convert("RGB"))
    member = Member("images-0-3", "a.jpg", np.full(4, 0.5, np.float16), 0, kept_of(pixels, parts))
    return (("verdict", b"unique"), ("member", base64.b64encode(encode_member(member))))


def unique(headers: tuple[tuple[str, bytes], ...]) -> ToldVerdict:
    source = {"topic": "images", "partition": 0, "offset": 3, "timestamp": 5}
    return ToldVerdict.of_record(verdict_record("a.jpg", headers=headers, source=source))


@pytest.mark.parametrize("parts", [Parts.THUMBNAIL, Parts.THUMBNAIL | Parts.LOOK])
def test_what_the_index_keeps_is_shown_where_the_topic_has_nothing(parts: Parts) -> None:
    thumbnails = Thumbnails()
    thumbnails.remember(unique(member_header(parts)))
    pictures = pictures_of(Stored(FetchedImage(gone="no longer there")), thumbnails)
    picture = pictures.of(PAIR, Side.MEMBER)
    assert picture.note == FROM_INDEX
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.size == (32, 32)
    assert not pictures.of(PAIR, Side.IMAGE).data  # a duplicate is no member


@pytest.mark.parametrize(
    "headers",
    [
        (),
        member_header(Parts.NOTHING),
        member_header(Parts.LOOK),
        (("member", b""),),
        (("member", b"AQ=="),),
        (("member", b"garbage that is no base64"),),
        (("member", base64.b64encode(b"\x01\x63" + bytes(50))),),
    ],
)
def test_a_verdict_without_a_thumbnail_is_no_fault(headers: tuple[tuple[str, bytes], ...]) -> None:
    thumbnails = Thumbnails()
    thumbnails.remember(unique(headers))
    thumbnails.remember(letter())
    assert thumbnails.of("images-0-3") is None


def test_the_page_is_told_everything_as_text_that_can_be_shown() -> None:
    tally = Tally(lambda: 0.0)
    for outcome in (told(MARKUP, MARKUP, None), letter(MARKUP, MARKUP, MARKUP), told("a")):
        tally.came(outcome, earlier=False)
    document = document_of(tally.seen(), "images")
    json.dumps(document, allow_nan=False)
    assert document["pairs"][0]["image"] == document["letters"][0]["name"] == MARKUP.replace("\u202e", "\\u202e")
    assert (document["unique"], document["duplicate"], document["dead"], document["away"]) == (1, 1, 1, True)
    assert document["pairs"][0]["distance"] is None


Asking = Callable[[TestClient[Any, Any]], Awaitable[None]]


def asked(ask: Asking, tally: Tally | None = None, stored: Stored | None = None, *, local: bool = True) -> None:
    """Ask a page that listens on a port of its own."""
    stop = threading.Event()
    pictures = pictures_of(stored or Stored(FetchedImage(data=photo(1))))
    page = Page(tally or Tally(), pictures, stop, "images")

    async def run() -> None:
        async with TestClient(TestServer(page.application(local=local))) as client:
            try:
                await ask(client)
            finally:
                stop.set()

    asyncio.run(run())


def test_the_page_and_its_parts_come_from_the_package_under_a_strict_policy() -> None:
    async def ask(client: TestClient[Any, Any]) -> None:
        for path, (_, content_type) in ASSETS.items():
            answer = await client.get(path)
            assert answer.status == 200
            assert answer.content_type == content_type
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            text = await answer.text()
            assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
            assert "https://" not in text
            assert "innerHTML" not in text
            assert " style=" not in text
        assert (await client.get("/page.html")).status == 404
        assert (await client.get("/../server.py")).status == 404
        assert (await client.post("/")).status == 405

    asked(ask)


def test_pictures_are_those_of_the_newest_pairs_alone() -> None:
    tally = Tally()
    tally.came(PAIR, earlier=False)

    async def ask(client: TestClient[Any, Any]) -> None:
        answer = await client.get("/pictures/1/member")
        assert (answer.status, answer.content_type, answer.headers["Neardup-Note"]) == (200, "image/jpeg", "")
        for path in ("/pictures/2/image", "/pictures/1/other", "/pictures/x/image", f"/pictures/{'9' * 30}/image"):
            assert (await client.get(path)).status == 404

    asked(ask, tally)


def test_those_who_wait_for_pictures_have_no_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    tally, release = Tally(), threading.Event()
    tally.came(PAIR, earlier=False)

    def of(*_: object) -> Picture:
        assert release.wait(30)
        return Picture(b"", "away")

    async def ask(client: TestClient[Any, Any]) -> None:
        asking = [asyncio.ensure_future(client.get("/pictures/1/image")) for _ in range(20)]
        try:
            for _ in range(20):
                assert (await client.get("/icon.svg")).status == 200
            assert sum(thread.name == "picture" for thread in threading.enumerate()) == server.MOST_FETCHING
        finally:
            release.set()
        assert {answer.status for answer in await asyncio.gather(*asking)} == {200}

    monkeypatch.setattr(Pictures, "of", of)
    asked(ask, tally)


def test_what_is_no_longer_kept_is_an_answer_too() -> None:
    tally = Tally()
    tally.came(PAIR, earlier=False)

    async def ask(client: TestClient[Any, Any]) -> None:
        answer = await client.get("/pictures/1/image")
        assert (answer.status, answer.content_type) == (200, "text/plain")
        assert await answer.text() == "no longer in its topic"

    asked(ask, tally, Stored(FetchedImage(gone="no longer in its topic")))


@pytest.mark.parametrize(
    ("host", "local", "status"),
    [
        ("127.0.0.1:1", True, 200),
        ("localhost", True, 200),
        ("[::1]:8088", True, 200),
        ("evil.example", True, 421),
        ("127.0.0.1.evil.example", True, 421),
        ("evil.example", False, 200),
    ],
)
def test_a_page_for_this_machine_answers_to_no_other_name(host: str, status: int, *, local: bool) -> None:
    async def ask(client: TestClient[Any, Any]) -> None:
        assert (await client.get("/", headers={"Host": host})).status == status

    asked(ask, local=local)


def test_events_come_as_something_changes() -> None:
    tally = Tally()

    async def ask(client: TestClient[Any, Any]) -> None:
        answer = await client.get("/events")
        assert answer.content_type == "text/event-stream"
        first = await event(answer)
        assert first["pairs"] == []
        tally.came(PAIR, earlier=False)
        while not (latest := await event(answer))["pairs"]:
            pass
        assert latest["pairs"][0]["image"] == "b.jpg"
        assert latest["run"] == first["run"]

    asked(ask, tally)


async def event(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - aiohttp's
    line = await asyncio.wait_for(answer.content.readline(), 30)
    assert line.startswith(b"data: ")
    assert await answer.content.readline() == b"\n"
    document: dict[str, Any] = json.loads(line[6:])
    return document


def test_listeners_are_bounded_and_make_room_when_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_LISTENERS", 1)

    async def ask(client: TestClient[Any, Any]) -> None:
        async with ClientSession() as session:
            first = await session.get(client.make_url("/events"))
            await event(first)
            assert (await client.get("/events")).status == 503
            first.close()
        while (answer := await client.get("/events")).status == 503:
            pass
        assert await event(answer)

    asked(ask)


def test_a_fault_on_a_thread_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        asyncio.run(server.on_a_thread(fail))
    assert asyncio.run(server.on_a_thread(lambda: 7)) == 7


def test_pictures_are_closed_unless_somebody_waits() -> None:
    stored = Stored(FetchedImage(gone=""))
    pictures = pictures_of(stored)
    with pictures._lock:
        pictures.close(0.0)
    assert not stored.closed
    pictures.close(0.0)
    assert stored.closed
