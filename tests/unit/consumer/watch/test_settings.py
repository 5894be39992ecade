"""The settings of the live view."""

import pytest

from consumer.watch.settings import WatchSettings
from neardup.cli import main
from neardup.cli.commands import command
from neardup.cli.running import settings_of
from neardup.errors import Misconfigured
from neardup.settings.addresses import is_local


def settings(*arguments: str) -> WatchSettings:
    made: WatchSettings = settings_of(command("watch"), arguments, {})
    return made


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ([], None),
        (["--page"], ("127.0.0.1", 8088)),
        (["--page", "--last", "3"], ("127.0.0.1", 8088)),
        (["--page", "0.0.0.0:80"], ("0.0.0.0", 80)),  # noqa: S104 - what is parsed
        (["--page", "9000"], ("127.0.0.1", 9000)),
        (["--page", "here.example"], ("here.example", 8088)),
        (["--page=[::1]:7"], ("::1", 7)),
        (["--page=[::1]"], ("::1", 8088)),
    ],
)
def test_a_page_has_an_address(words: list[str], address: tuple[str, int] | None) -> None:
    assert settings(*words).page == address


@pytest.mark.parametrize("text", ["host:", ":80", "host:70000", "host:-1", "host:x", ""])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match="HOST:PORT"):
        settings(f"--page={text}") if text else settings("--page", "")


@pytest.mark.parametrize("words", [["--dead-letters", "images"], ["--verdicts", "images"], ["--dead-letters=verdicts"]])
def test_topics_are_three(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", *words], {}) == 2
    assert ", too" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "local"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("0.0.0.0", False), ("a.b", False)],  # noqa: S104 - what is judged
)
def test_what_only_this_machine_reaches_is_known(host: str, *, local: bool) -> None:
    assert is_local(host) is local
