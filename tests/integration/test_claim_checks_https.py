"""Claim checks over https: every rule against a real host with a real certificate."""

import asyncio
import gzip
import logging
import resource
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from consumer.claim_checks.reader import UriReader
from consumer.claim_checks.scheme import FetchSettings
from neardup.errors import (
    BadInput,
    Misconfigured,
    StoreUnavailable,
    TooManyBytes,
    UriAddressNotAllowed,
    UriNotAllowed,
    UriTooSlow,
    UriUnavailable,
    UriUnreadable,
)
from tests.support.certificates import Authority
from tests.support.https_hosts import Answer, Host, closed_port, https_host

LIMIT = 100_000
GENEROUS = FetchSettings(timeout_s=30, connect_timeout_s=30)
HASTY = 1.0
"""A time limit that is meant to pass: it is this test's whole length."""


class Names(AbstractResolver):
    """A resolver of the test's own: each look-up takes the next answer of a name, the last one for ever."""

    def __init__(self, answers: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self._answers = {name: list(lists) for name, lists in answers.items()}
        self.asked: list[str] = []

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,  # noqa: ARG002 - aiohttp's
    ) -> list[ResolveResult]:
        self.asked.append(host)
        lists = self._answers[host]
        addresses = lists.pop(0) if len(lists) > 1 else lists[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        await asyncio.sleep(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hosts")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def module_host(folder: Path, authority: Authority) -> Iterator[Host]:
    with https_host(folder, authority, "images.example") as host:
        yield host


@pytest.fixture
def host(module_host: Host) -> Host:
    module_host.pages.clear()
    module_host.requests.clear()
    module_host.connections = 0
    return module_host


Opened = Callable[..., AbstractContextManager[UriReader]]


@pytest.fixture
def opened(authority: Authority) -> Opened:
    """Open a reader that takes 127.0.0.1 for public, and knows images.example by it."""

    @contextmanager
    def open_reader(
        *allowed: str,
        fetch: FetchSettings = GENEROUS,
        names: Mapping[str, Sequence[Sequence[str]]] | Names | None = None,
        public: Sequence[str] = ("127.0.0.1",),
    ) -> Iterator[UriReader]:
        resolver = names if isinstance(names, Names) else Names(names or {"images.example": [["127.0.0.1"]]})
        trusting = FetchSettings(
            connect_timeout_s=fetch.connect_timeout_s,
            timeout_s=fetch.timeout_s,
            patience_s=fetch.patience_s,
            ca_file=str(authority.file),
        )
        with UriReader(
            allowed, LIMIT, trusting, permitted_address=lambda address: address in public, resolver=resolver
        ) as reader:
            yield reader

    return open_reader


def says(body: bytes = b"", status: int = 200, **headers: str) -> Callable[[Answer], None]:
    return lambda answer: answer.reply(body, status, **headers)


def speaks(text: bytes) -> Callable[[Answer], None]:
    def speak(answer: Answer) -> None:
        answer.wfile.write(text)

    return speak


def leads_to(location: str, status: int = 302) -> Callable[[Answer], None]:
    return says(b"", status, Location=location)


def test_an_allowed_image_is_read_and_nothing_of_ours_is_told(host: Host, opened: Opened) -> None:
    host.pages["/a/b.jpg"] = says(b"pixels", Set_Cookie="session=secret", Content_Type="text/html")
    with opened(f"{host.url}/a/") as reader:
        uri = f"{host.url}/a/b.jpg?signature=%2Fx"
        assert (reader.read(uri), reader.read(uri)) == (b"pixels", b"pixels")
    paths, headers = zip(*host.requests, strict=True)
    assert paths == ("/a/b.jpg?signature=%2Fx",) * 2
    for sent in headers:
        assert set(sent) == {"Host", "Accept", "Accept-Encoding", "User-Agent"}
        assert (sent["Accept-Encoding"], sent["User-Agent"]) == ("identity", "neardup")
    assert host.connections == 1  # the second over the first one's


def test_several_threads_read_at_once(host: Host, opened: Opened) -> None:
    meeting = threading.Barrier(4)

    def meet(answer: Answer) -> None:
        meeting.wait(30)
        answer.reply(b"met")

    host.pages["/a"] = meet
    with opened(host.url) as reader, ThreadPoolExecutor(4) as threads:
        assert list(threads.map(reader.read, [f"{host.url}/a"] * 4)) == [b"met"] * 4


def test_no_proxy_of_the_environment_is_asked(host: Host, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    host.pages["/a"] = says(b"direct")
    with opened(host.url) as reader:
        assert reader.read(f"{host.url}/a") == b"direct"


# Addresses


def test_an_address_of_this_machine_is_refused_by_default_and_never_asked(host: Host, authority: Authority) -> None:
    host.pages["/a"] = says(b"secret")
    names = Names({"images.example": [["127.0.0.1"]]})
    fetch = FetchSettings(ca_file=str(authority.file))
    refused = pytest.raises(UriAddressNotAllowed, match="--allow-private-addresses")
    with UriReader([host.url], LIMIT, fetch, resolver=names) as reader, refused:
        reader.read(f"{host.url}/a")
    assert host.connections == 0


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_no_name_of_this_machine_is_let_through(host: Host, name: str) -> None:
    uri = f"https://{name}:{host.port}/a"
    with UriReader([uri], LIMIT, GENEROUS) as reader, pytest.raises(UriAddressNotAllowed):
        reader.read(uri)
    assert host.connections == 0


def test_private_addresses_can_be_allowed(host: Host, authority: Authority) -> None:
    host.pages["/a"] = says(b"inside")
    fetch = FetchSettings(private_addresses=True, ca_file=str(authority.file))
    names = Names({"images.example": [["127.0.0.1"]]})
    with UriReader([host.url], LIMIT, fetch, resolver=names) as reader:
        assert reader.read(f"{host.url}/a") == b"inside"


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "::", "224.0.0.1"])
def test_some_addresses_are_refused_even_then(host: Host, address: str) -> None:
    names = Names({"images.example": [[address]]})
    fetch = FetchSettings(private_addresses=True)
    with UriReader([host.url], LIMIT, fetch, resolver=names) as reader, pytest.raises(UriAddressNotAllowed):
        reader.read(f"{host.url}/a")
    assert host.connections == 0


def test_a_name_that_is_bound_anew_reaches_nothing(
    host: Host, opened: Opened, folder: Path, authority: Authority
) -> None:
    # 127.0.0.2 stands for the public address that is shown first, 127.0.0.1 for the private one behind it.
    with https_host(folder, authority, "public.example", "127.0.0.2") as public:
        public.pages["/a"] = lambda answer: answer.reply(b"public", Connection="close")
        names = Names({"public.example": [["127.0.0.2"], ["127.0.0.1"]]})
        with opened(public.url, names=names, public=["127.0.0.2"]) as reader:
            assert reader.read(f"{public.url}/a") == b"public"
            assert names.asked == ["public.example"]  # one look-up a connection: what was judged is what was connected
        with opened(public.url, names=names, public=["127.0.0.2"]) as reader, pytest.raises(UriAddressNotAllowed):
            reader.read(f"{public.url}/a")
        assert public.connections == 1
    assert host.connections == 0


def test_a_private_address_behind_a_dead_public_one_is_not_tried(host: Host, opened: Opened) -> None:
    host.pages["/a"] = says(b"secret")
    names = Names({"images.example": [["127.0.0.2", "127.0.0.1"]]})
    with opened(host.url, names=names, public=["127.0.0.2"]) as reader, pytest.raises(UriAddressNotAllowed):
        reader.read(f"{host.url}/a")
    assert host.connections == 0


# Redirects


def test_a_redirect_inside_what_is_allowed_is_followed(host: Host, opened: Opened) -> None:
    host.pages["/a/1"] = leads_to("2?x=1")
    host.pages["/a/2"] = leads_to(f"{host.url}/a/3", 308)
    host.pages["/a/3"] = says(b"there")
    with opened(f"{host.url}/a/") as reader:
        assert reader.read(f"{host.url}/a/1") == b"there"


@pytest.mark.parametrize(
    "location",
    [
        "/b/secret",
        "../b/secret",
        "https://elsewhere.example/a/",
        "//elsewhere.example/a/",
        "http://images.example/a/2",
        "https://user:password@images.example/a/2",
        "file:///etc/passwd",
        "s3://bucket/a/2",
        "\\\\elsewhere.example\\a",
        "/a/%2e%2e/b/secret",
    ],
)
def test_a_redirect_off_the_list_is_refused(host: Host, opened: Opened, location: str) -> None:
    host.pages["/a/1"] = leads_to(location)
    host.pages["/b/secret"] = says(b"secret")
    with opened(f"{host.url}/a/", "file:///etc/") as reader, pytest.raises(UriNotAllowed) as caught:
        reader.read(f"{host.url}/a/1")
    assert [path for path, _ in host.requests] == ["/a/1"]
    assert "password" not in str(caught.value)


def test_a_redirect_to_a_private_address_is_refused(
    host: Host, opened: Opened, folder: Path, authority: Authority
) -> None:
    with https_host(folder, authority, "inside.example") as inside:
        host.pages["/a"] = leads_to(f"{inside.url}/secret")
        names = {"images.example": [["127.0.0.1"]], "inside.example": [["127.0.0.3"]]}
        with opened(host.url, inside.url, names=names) as reader, pytest.raises(UriAddressNotAllowed):
            reader.read(f"{host.url}/a")
        assert inside.connections == 0


def test_redirects_are_counted(host: Host, opened: Opened) -> None:
    for number in range(5):
        host.pages[f"/{number}"] = leads_to(f"/{number + 1}")
    host.pages["/5"] = says(b"there")
    host.pages["/round"] = leads_to("/round")
    with opened(host.url) as reader:
        assert reader.read(f"{host.url}/0") == b"there"
        host.requests.clear()
        with pytest.raises(UriUnreadable, match="more than 5 redirects"):
            reader.read(f"{host.url}/round")
    assert len(host.requests) == 6


# Sizes


def test_the_limit_is_the_largest_that_passes(host: Host, opened: Opened) -> None:
    host.pages["/largest"] = says(bytes(LIMIT))
    host.pages["/larger"] = says(bytes(LIMIT + 1))
    with opened(host.url) as reader:
        assert len(reader.read(f"{host.url}/largest")) == LIMIT
        with pytest.raises(TooManyBytes):
            reader.read(f"{host.url}/larger")


def test_a_length_beyond_the_limit_is_not_waited_for(host: Host, opened: Opened) -> None:
    def promise(answer: Answer) -> None:
        answer.send_response(200)
        answer.send_header("Content-Length", str(10**12))
        answer.end_headers()
        answer.wfile.flush()
        host.stopped.wait(60)

    host.pages["/a"] = promise
    with opened(host.url) as reader, pytest.raises(TooManyBytes, match="1000000000000"):
        reader.read(f"{host.url}/a")


def endless(answer: Answer, *, headers: bool = False) -> None:
    """Send for ever, chunk by chunk or header by header, until the client hangs up."""
    answer.send_response(200)
    if headers:
        answer.flush_headers()
        part = b"X-More: " + b"x" * 1000 + b"\r\n"
    else:
        answer.send_header("Transfer-Encoding", "chunked")
        answer.end_headers()
        part = b"1000\r\n" + bytes(0x1000) + b"\r\n"
    while True:
        answer.wfile.write(part)


@pytest.mark.parametrize(("headers", "error"), [(False, TooManyBytes), (True, UriUnreadable)])
def test_what_never_ends_is_cut_off(host: Host, opened: Opened, headers: bool, error: type[BadInput]) -> None:  # noqa: FBT001
    host.pages["/a"] = partial(endless, headers=headers)
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with opened(host.url) as reader, pytest.raises(error):
        reader.read(f"{host.url}/a")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib < 50 * 1024


def test_nothing_is_inflated(host: Host, opened: Opened) -> None:
    host.pages["/bomb"] = says(gzip.compress(bytes(10_000_000)), Content_Encoding="gzip")
    with opened(host.url) as reader, pytest.raises(UriUnreadable, match="compressed"):
        reader.read(f"{host.url}/bomb")


# Time


def test_a_drip_ends_at_the_time_limit(host: Host, opened: Opened) -> None:
    drops: list[bytes] = []

    def drip(answer: Answer) -> None:
        answer.send_response(200)
        answer.send_header("Content-Length", "1000")
        answer.end_headers()
        while not host.stopped.wait(0.05):
            answer.wfile.write(b".")
            drops.append(b".")

    host.pages["/a"] = drip
    with opened(host.url, fetch=FetchSettings(timeout_s=HASTY)) as reader, pytest.raises(UriTooSlow):
        reader.read(f"{host.url}/a")
    # Each drop came long before a time limit of its own was over, and the last was never waited for.
    assert 1 < len(drops) < 1000


def test_a_host_that_says_nothing_is_waited_for_and_given_up_in_the_end(host: Host, opened: Opened) -> None:
    def say_nothing(_: Answer) -> None:
        host.stopped.wait(60)

    host.pages["/a"] = say_nothing
    with opened(host.url, fetch=FetchSettings(timeout_s=HASTY, patience_s=HASTY / 2)) as reader:
        with pytest.raises(StoreUnavailable, match="no answer in time"):
            reader.read(f"{host.url}/a")
        with pytest.raises(UriTooSlow, match="gave up"):
            reader.read(f"{host.url}/a")


def test_a_host_that_shakes_no_hands_ends_at_the_time_limit(opened: Opened) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"https://images.example:{mute.getsockname()[1]}"
        hasty = FetchSettings(timeout_s=60, connect_timeout_s=HASTY)
        with opened(url, fetch=hasty) as reader, pytest.raises(StoreUnavailable):
            reader.read(f"{url}/a")


def test_a_name_server_that_says_nothing_ends_at_the_time_limit(opened: Opened) -> None:
    class Mute(Names):
        async def resolve(self, *_: object, **__: object) -> list[ResolveResult]:
            return await asyncio.Future()

    hasty = FetchSettings(timeout_s=HASTY)
    with opened("https://images.example/", fetch=hasty, names=Mute({})) as reader, pytest.raises(StoreUnavailable):
        reader.read("https://images.example/a")


# Outages


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_host_that_cannot_serve_now_is_an_outage(host: Host, opened: Opened, status: int) -> None:
    host.pages["/a"] = says(b"sorry", status)
    with opened(host.url) as reader:
        with pytest.raises(StoreUnavailable, match=str(status)):
            reader.read(f"{host.url}/a")
        host.pages["/a"] = says(b"back")
        assert reader.read(f"{host.url}/a") == b"back"


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 410, 418, 501])
def test_an_image_that_is_not_there_is_a_dead_letter(host: Host, opened: Opened, status: int) -> None:
    host.pages["/a"] = says(b"", status)
    with opened(host.url) as reader, pytest.raises(UriUnreadable, match=str(status)):
        reader.read(f"{host.url}/a")


def test_a_host_that_is_away_is_waited_for_and_given_up_in_the_end(opened: Opened) -> None:
    url = f"https://images.example:{closed_port()}"
    with opened(url) as reader, pytest.raises(StoreUnavailable, match="refused"):
        reader.read(f"{url}/a")
    with opened(url, fetch=FetchSettings(patience_s=0)) as reader, pytest.raises(UriUnavailable, match="gave up"):
        reader.read(f"{url}/a")


def test_a_connection_cut_in_the_middle_is_an_outage_and_no_short_image(host: Host, opened: Opened) -> None:
    def cut(answer: Answer) -> None:
        answer.send_response(200)
        answer.send_header("Content-Length", "1000")
        answer.end_headers()
        answer.wfile.write(b"half")
        answer.close_connection = True

    host.pages["/a"] = cut
    with opened(host.url) as reader, pytest.raises(StoreUnavailable):
        reader.read(f"{host.url}/a")


# TLS


def test_a_host_that_nobody_vouches_for_is_not_read(host: Host, opened: Opened, folder: Path) -> None:
    host.pages["/a"] = says(b"secret")
    stranger = Authority(folder, "stranger")
    with https_host(folder, stranger, "strange.example") as strange:
        names = {"strange.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]}
        other = f"https://other.example:{host.port}"
        with opened(strange.url, other, names=names) as reader:
            for url in (strange.url, other):  # an unknown authority, another host's certificate
                with pytest.raises(StoreUnavailable, match="certificate"):
                    reader.read(f"{url}/a")
        assert strange.requests == host.requests == []


def test_the_authorities_can_come_from_the_environment(
    host: Host, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.pages["/a"] = says(b"trusted")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    names = Names({"images.example": [["127.0.0.1"]]})
    with UriReader([host.url], LIMIT, FetchSettings(private_addresses=True), resolver=names) as reader:
        assert reader.read(f"{host.url}/a") == b"trusted"


def test_a_wrong_file_of_authorities_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    for name in ("missing.pem", "empty.pem"):
        with pytest.raises(Misconfigured, match="--uri-ca-file"):
            UriReader(["https://images.example/"], LIMIT, FetchSettings(ca_file=str(tmp_path / name)))


def test_a_host_that_does_not_speak_http_is_bad_input(host: Host, opened: Opened) -> None:
    host.pages["/a"] = speaks(b"SSH-2.0-OpenSSH\r\n\r\n")
    with opened(host.url) as reader, pytest.raises(UriUnreadable, match="HTTP"):
        reader.read(f"{host.url}/a")


# What is told


def test_no_error_and_no_log_line_tells_a_query_or_a_password(
    host: Host, opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    host.pages |= {"/busy": says(b"", 503), "/gone": says(b"", 404), "/away": leads_to("/missing?token=hunter2")}
    host.pages["/odd"] = speaks(b"no HTTP\r\n\r\n")
    host.pages["/large"] = says(bytes(LIMIT + 1))
    paths = ["/busy", "/gone", "/away", "/odd", "/large", "/../x", "/\x1b"]
    uris = [f"{host.url}{path}?token=hunter2#hunter2" for path in paths]
    uris += [f"{host.url}{path}?token=hunter2" for path in paths]
    uris += ["https://user:hunter2@images.example/", "https:user:hunter2@images.example", "https://a\\:hunter2@b/c"]
    with opened(host.url) as reader:
        for uri in uris:
            with pytest.raises((BadInput, StoreUnavailable)) as caught:
                reader.read(uri)
            assert "hunter2" not in str(caught.value)
            assert "\x1b" not in str(caught.value)
    assert "hunter2" not in caplog.text


def test_a_part_is_asked_for_and_nothing_else_is_taken_for_it(host: Host, opened: Opened) -> None:
    body = bytes(range(200)) + bytes(LIMIT * 2)

    def part(answer: Answer, shift: int = 0) -> None:
        first, last = (int(place) for place in answer.headers["Range"].removeprefix("bytes=").split("-"))
        found = body[first + shift : last + 1 + shift]
        answer.reply(found, 206, Content_Range=f"bytes {first + shift}-{first + shift + len(found) - 1}/{len(body)}")

    host.pages |= {
        "/a/part": part,
        "/a/another": lambda answer: part(answer, 1),
        "/a/whole": lambda answer: answer.reply(body[:100]),
        "/a/short": lambda answer: answer.reply(body[3:5], 206, Content_Range="bytes 3-4/5"),
        "/a/long": lambda answer: answer.reply(body[3:50], 206, Content_Range="bytes 3-49/200"),
        "/a/beyond": lambda answer: answer.reply(b"", 416),
        "/a/on": lambda answer: answer.reply(b"", 302, Location="/a/part"),
    }
    with opened(f"{host.url}/a/") as reader:
        assert reader.read(f"{host.url}/a/part#bytes=3-9") == body[3:10]
        assert reader.read(f"{host.url}/a/on?x=1#bytes=3-9") == body[3:10]
        for page in ("another", "whole", "short", "long", "beyond"):
            with pytest.raises(UriUnreadable):
                reader.read(f"{host.url}/a/{page}#bytes=3-9")
        with pytest.raises(TooManyBytes):
            reader.read(f"{host.url}/a/part#bytes=0-{LIMIT}")
    assert all(headers["Range"] == "bytes=3-9" for _, headers in host.requests)
