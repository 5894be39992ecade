"""What each role may be told."""

import pytest

import consumer.workers.shares
from consumer.settings import ServiceSettings
from consumer.workers.shares import shares_of
from neardup.errors import Misconfigured
from neardup.settings.reading import read_settings


def read(*arguments: str, **environ: str) -> ServiceSettings:
    settings: ServiceSettings = read_settings(ServiceSettings, arguments, environ, prog="consumer", description="")
    return settings


def test_without_a_role_a_consumer_does_all() -> None:
    settings = read()
    settings.check()
    assert (settings.role, settings.descriptors_topic) == ("all", "descriptors")
    assert settings.of_role() is settings


def test_a_decider_reads_the_descriptor_topic_in_a_group_of_its_own() -> None:
    settings = read("--role", "decide", "--descriptors-topic", "d", "--group", "g").of_role()
    assert (settings.topic, settings.group) == ("d", "g-deciders")
    assert read("--role", "describe", "--group", "g").of_role().group == "g"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--max-image-bytes", "1000"),
        ("--formats", "jpeg"),
        ("--truncated", "accept"),
        ("--decode-timeout", "off"),
        ("--decode-workers", "2"),
        ("--repeat-bytes", "0"),
        ("--allow-uri", "file:///data/"),
        ("--descriptor", "dct"),
        ("--weights", "w.npz"),
        ("--pass-headers", "camera"),
    ],
)
def test_a_decider_refuses_what_it_would_do_with_images(arguments: tuple[str, str]) -> None:
    expected = f"^{arguments[0]}: --role decide reads and describes no image; give it to the consumers with --role desc"
    with pytest.raises(Misconfigured, match=expected):
        read("--role", "decide", *arguments).check()
    read("--role", "describe", *arguments).check()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--retention", "30d"),
        ("--probe", "nearest"),
        ("--max-cluster", "200"),
        ("--cache-bytes", "0"),
        ("--decision-ttl-s", "60"),
        ("--index-cache", "/var/cache"),
    ],
)
def test_a_describer_refuses_what_it_would_do_with_verdicts(arguments: tuple[str, str]) -> None:
    with pytest.raises(Misconfigured, match=f"^{arguments[0]}: --role describe decides nothing; give it to the cons"):
        read("--role", "describe", *arguments).check()
    read("--role", "decide", *arguments).check()


@pytest.mark.parametrize("role", ["describe", "decide"])
def test_one_set_of_variables_serves_both(role: str) -> None:
    environ = {"NEARDUP_RETENTION": "30d", "NEARDUP_ALLOW_URI": "file:///data/", "NEARDUP_INDEX_CACHE": "/var/cache"}
    read("--role", role, **environ).check()
    with pytest.raises(Misconfigured, match=r"^--unique-topic uniques: works only with --role all, since "):
        read("--role", role, NEARDUP_UNIQUE_TOPIC="uniques").check()


@pytest.mark.parametrize("role", ["describe", "decide"])
def test_unique_images_go_on_only_where_one_consumer_has_both(role: str) -> None:
    with pytest.raises(Misconfigured, match=r"^--unique-topic uniques: works only with --role all, since "):
        read("--role", role, "--unique-topic", "uniques").check()


@pytest.mark.parametrize("role", ["describe", "decide"])
def test_descriptors_go_to_a_topic_of_their_own(role: str) -> None:
    for taken, flag in {"images": "images", "verdicts": "verdicts", "images.dead": "dead-letters"}.items():
        with pytest.raises(Misconfigured, match=rf"^--descriptors-topic {taken}: it is also --{flag}-topic; descr"):
            read("--role", role, "--descriptors-topic", taken).check()
    read("--descriptors-topic", "images").check()  # nothing goes there


def test_an_unknown_role_is_named() -> None:
    with pytest.raises(Misconfigured, match="--role"):
        read("--role", "judge")


def test_deciders_are_as_many_as_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer.workers.shares, "cores", lambda: 12)
    assert len(shares_of(read("--workers", "auto"))) == 2
    assert len(shares_of(read("--workers", "auto", "--role", "describe"))) == 2
    assert len(shares_of(read("--workers", "auto", "--role", "decide"))) == 12
