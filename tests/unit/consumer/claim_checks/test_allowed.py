"""Which URIs of the network a prefix allows, which addresses may be connected to, how long a store is waited for."""

import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from consumer.claim_checks.addresses import permitted
from consumer.claim_checks.allowed import AllowedImages, Target
from consumer.claim_checks.errors import shown
from consumer.claim_checks.outages import LONE_PATIENCE_S, Outages
from consumer.claim_checks.reader import UriReader
from consumer.claim_checks.schemes import SCHEMES
from neardup.errors import Misconfigured, UriNotAllowed


@pytest.fixture(scope="module")
def reader() -> Iterator[UriReader]:
    with UriReader(["https://good.example/a"], 1) as reader:
        yield reader


@pytest.fixture(scope="module")
def two_schemes() -> Iterator[UriReader]:
    with UriReader(["https://good.example/a", "s3://bucket/a"], 1) as reader:
        yield reader


def is_allowed(uri: str, *prefixes: str) -> bool:
    with UriReader(prefixes, 1) as reader:
        return would_read(uri, reader)


def would_read(uri: str, reader: UriReader) -> bool:
    try:
        reader._find(uri)
    except UriNotAllowed:
        return False
    return True


def parse_target(uri: str) -> Target:
    with UriReader([uri.partition("?")[0]], 1) as reader:
        [images] = reader._images.values()
        assert isinstance(images, AllowedImages)
        return images._parse(uri)


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("https://good.example", "https://good.example/"),
        ("https://good.example", "https://good.example"),
        ("https://good.example/", "https://good.example/a/b.jpg?x=https://evil/&y=%2e%2e/[1]"),
        ("https://good.example/a", "https://good.example/a"),
        ("https://good.example/a", "https://good.example/a/b"),
        ("https://good.example/a/", "https://good.example/a/"),
        ("https://good.example/a", "https://good.example:443/a"),
        ("https://good.example:443/a", "https://good.example/a/"),
        ("https://good.example:8443", "https://good.example:8443/a"),
        ("https://good.example/a%20b", "https://good.example/a%20b/c%C3%A4.jpg"),
        ("https://good.example/a", "https://good.example/a//b/..c/.d/100%25.jpg"),
        ("https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/a"),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/a"),
        ("https://192.0.2.7/", "https://192.0.2.7/a"),
        ("s3://bucket/a", "s3://bucket/a/b c ä%.jpg"),
        ("gs://my_bucket", "gs://my_bucket/a"),
    ],
)
def test_what_a_prefix_names_is_allowed_and_left_as_it_is(prefix: str, uri: str) -> None:
    assert is_allowed(uri, "s3://other/", prefix)
    target = parse_target(uri)
    assert parse_target(target.uri) == target
    assert target.uri.removesuffix("/") == uri.replace(":443/", "/").removesuffix("/")


@pytest.mark.parametrize(
    "uri",
    [
        "https://good.example@evil.example/a/x",
        "https://good.example:443@evil.example/a/x",
        "https://user:password@good.example/a/x",
        "https://@good.example/a/x",
        "https://good.example.evil.example/a/x",
        "https://evilgood.example/a/x",
        "https://evil.example/good.example/a/x",
        "https://evil.example\\@good.example/a/x",
        "https://evil.example#@good.example/a/x",
        "https://evil.example?@good.example/a/x",
        "https:\\\\good.example\\a\\x",
        "https:/good.example/a/x",
        "https:good.example/a/x",
        "https:///good.example/a/x",
        "//good.example/a/x",
        "http://good.example/a/x",
        "HTTPS://good.example/a/x",
        "https://GOOD.example/a/x",
        "https://good.example./a/x",
        "https://good..example/a/x",
        "https://.good.example/a/x",
        "https://good.example:8443/a/x",
        "https://good.example:/a/x",
        "https://good.example:0443/a/x",
        "https://good.example:65979/a/x",  # 443 in 16 bits
        "https://good.ex%61mple/a/x",
        "https://gооd.example/a/x",  # noqa: RUF001 - two of the letters are Cyrillic
        "https://good。example/a/x",
        "https://good.example/b",
        "https://good.example/ab",
        "https://good.example/",
        "https://good.example/A/x",
        "https://good.example//a/x",
        "https://good.example/%61/x",
        "https://good.example/a/../b",
        "https://good.example/a/./x",
        "https://good.example/a/..",
        "https://good.example/a/%2e%2e/b",
        "https://good.example/a/%2E./b",
        "https://good.example/a/%252e%252e/b",
        "https://good.example/a/%25252e%25252e/b",
        "https://good.example/a/..;x/b",
        "https://good.example/a/%2e%2e%3b/b",
        "https://good.example/a%2fx",
        "https://good.example/a/..%2fb",
        "https://good.example/a/..%5cb",
        "https://good.example/a/..\\b",
        "https://good.example/a/x%00.jpg",
        "https://good.example/a/x%0d%0aHost:evil",
        "https://good.example/a/x y",
        "https://good.example/a/100%",
        "https://good.example/a/100%x.jpg",
        "https://good.example/a/" + "x" * 8192,
        "https://good.example/a/x\r\nHost: evil",
        "https://good.example/a/x\n",
        "https://good.example\t/a/x",
        " https://good.example/a/x",
        "https://good.example/a/ä",
        "https://good.example/a/x#y",
        "https://good.example/a/%" + "25" * 9 + "2e",
        "https://[::ffff:127.0.0.1]/a/x",
        "s3://good.example/a/x",
        "ftp://good.example/a/x",
        "file://good.example/a/x",
        "gopher://good.example/a/x",
        "",
        "https://",
    ],
)
def test_nothing_else_is(uri: str, reader: UriReader) -> None:
    assert not is_allowed(uri, "https://good.example/a")
    with pytest.raises(UriNotAllowed):
        reader.read(uri)


@pytest.mark.parametrize(
    "prefix",
    ["http://a/", "https://", "https://a/?x", "https://a/#x", "https://u:hunter2@a/", "https://A/", "https://a/../b",
     "https://127.1/", "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://[0:0::1]/", "s3://", "s3://a/b?c",
     "https://*.example/", "https", "ftp://a/", "https://a:0/", "https://" + "a." * 130 + "b/"],
)  # fmt: skip
def test_a_prefix_that_could_mean_more_is_a_wrong_setting(prefix: str) -> None:
    with pytest.raises(Misconfigured, match="--allow-uri") as caught:
        UriReader([prefix], 1)
    assert "hunter2" not in str(caught.value)


def test_the_extras_that_there_are_stay() -> None:
    packages = {name: scheme.package for name, scheme in SCHEMES.items()}
    assert {"file": None, "https": "aiohttp", "s3": "s3fs", "gs": "gcsfs"}.items() <= packages.items()


@pytest.mark.parametrize(
    ("scheme", "package"), [(name, scheme.package) for name, scheme in SCHEMES.items() if scheme.package]
)
def test_a_missing_extra_is_named_at_the_start(scheme: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(Misconfigured, match=rf"{package} is not installed.*neardup\[{scheme}\]"):
        UriReader([f"{scheme}://images/"], 1)


@given(st.text(max_size=60), st.sampled_from(["https://good.example/a/", "https://good.example", "s3://bucket/a/", ""]))
@example("../b", "https://good.example/a/")
@example("@evil.example/", "https://good.example")
def test_what_is_allowed_is_below_the_prefix_however_it_is_read(two_schemes: UriReader, tail: str, head: str) -> None:
    uri = head + tail
    shown(uri)
    if would_read(uri, two_schemes):
        parts = urlsplit(uri)
        assert (parts.scheme, parts.netloc) in {
            ("https", "good.example"),
            ("https", "good.example:443"),
            ("s3", "bucket"),
        }
        assert parts.path == "/a" or parts.path.startswith("/a/")
        assert not {".", ".."} & set(parts.path.split("/"))


# Addresses

NEVER = """
0.0.0.0 0.1.2.3 169.254.169.254 169.254.0.1 192.0.0.192 192.0.2.1 198.18.0.1 198.51.100.1 203.0.113.1 192.88.99.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 168.63.129.16 100.100.100.200 fd00:ec2::254 :: ::ffff:8.8.8.8
::ffff:127.0.0.1 ::7f00:1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b::808:808 64:ff9b:1::1 2002:7f00:1:: 2001::1 2001:db8::1
3fff::1 fe80::1 fe80::1%eth0 fec0::1 ff02::1 100::1 5f00::1 2606:4700::1%1 localhost 127.1 0177.0.0.1
"""


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111"])
def test_public_addresses_are_connected_to(address: str) -> None:
    assert permitted(address, private=False)
    assert permitted(address, private=True)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.255.255.254", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "::1",
     "fd12::1", "fc00::1"],
)  # fmt: skip
def test_private_addresses_only_where_allowed(address: str) -> None:
    assert not permitted(address, private=False)
    assert permitted(address, private=True)


@pytest.mark.parametrize(
    "address",
    NEVER.split(),
)
def test_all_others_never(address: str) -> None:
    assert not permitted(address, private=False)
    assert not permitted(address, private=True)


# What is shown


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("https://a.example/b@2x.jpg?signature=hunter2", "'https://a.example/b@2x.jpg?...'"),
        ("https://user:hunter2@a.example/b", "'***@a.example/b'"),
        ("https:user:hunter2@a.example/b", "'***@a.example/b'"),
        ("https://user:hunter2\\@a.example/b", "'***@a.example/b'"),
        ("https://a/#hunter2", "'https://a/#...'"),
        ("https://a/\x1b\n", r"'https://a/\x1b\n'"),
        ("file:///a@b", "'file:///a@b'"),
        ("x" * 300, f"'{'x' * 200}...'"),
    ],
)
def test_no_secret_of_a_uri_is_shown(uri: str, text: str) -> None:
    assert shown(uri) == text


# Outages


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_store_is_waited_for_as_long_as_told_and_then_no_more(clock: Clock) -> None:
    outages = Outages(300, clock)
    for clock.now_s in (0, 299.9):
        assert outages.worth_waiting("store", "a")
    for clock.now_s, uri in ((300, "a"), (300, "b"), (301, "c")):
        assert not outages.worth_waiting("store", uri)
    assert outages.worth_waiting("another store", "a")


def test_a_store_that_answers_has_its_patience_anew(clock: Clock) -> None:
    outages = Outages(300, clock)
    assert outages.worth_waiting("store", "a")
    clock.now_s = 300
    assert not outages.worth_waiting("store", "a")
    outages.answered("store", "b")
    assert outages.worth_waiting("store", "a")


def test_a_uri_that_fails_alone_is_given_up_soon(clock: Clock) -> None:
    outages = Outages(300, clock)
    assert outages.worth_waiting("store", "bad")
    for clock.now_s in (1, LONE_PATIENCE_S - 1):
        outages.answered("store", "good")
        assert outages.worth_waiting("store", "bad")
    clock.now_s = LONE_PATIENCE_S
    assert not outages.worth_waiting("store", "bad")
    assert outages.worth_waiting("store", "bad")  # delivered again, it is new


def test_no_patience_gives_up_at_once(clock: Clock) -> None:
    assert not Outages(0, clock).worth_waiting("store", "a")


def test_memory_for_what_failed_is_bounded(clock: Clock) -> None:
    outages = Outages(300, clock)
    for number in range(10_100):
        assert outages.worth_waiting("store", str(number))
    assert len(outages._failing_since) == 10_000
