"""Who is let in, and what it needs to begin."""

import importlib.util
import re
from pathlib import Path

import pytest

from consumer.running import answer
from consumer.serve.settings import ServeSettings
from consumer.serve.tokens import TokenFile
from neardup.errors import Misconfigured

ONE, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "tokens"
    file.write_text(f"{ONE}\n\n  {OTHER}  \n")
    return file


def rewrite(file: Path, text: str) -> None:
    """Replace a file as secrets are: at once, by another one."""
    new = file.with_name("new")
    new.write_text(text)
    new.replace(file)


@pytest.mark.parametrize("named", [f"Bearer {ONE}", f"bearer {OTHER}", f"Bearer   {ONE} "])
def test_each_of_the_tokens_lets_in(file: Path, named: str) -> None:
    assert TokenFile(str(file)).lets_in(named)


@pytest.mark.parametrize(
    "named",
    [
        *(
            None,
            "",
            "Bearer",
            "Bearer ",
            ONE,
            f"Basic {ONE}",
            f"Bearer {ONE[:-1]}",
            f"Bearer {ONE}a",
            f"Bearer {ONE} x",
        ),
        *(f"Bearer {ONE}\n{OTHER}", "Bearer \udc80", f"Bearer {ONE},{OTHER}", f"Bearer {ONE.upper()}"),
    ],
)
def test_nothing_else_lets_in(file: Path, named: str | None) -> None:
    assert not TokenFile(str(file)).lets_in(named)


def test_a_file_that_changes_is_read_again(file: Path) -> None:
    tokens = TokenFile(str(file))
    rewrite(file, f"{OTHER}\n{'c' * 40}\n")
    assert [tokens.lets_in(f"Bearer {token}") for token in (ONE, OTHER, "c" * 40)] == [False, True, True]


@pytest.mark.parametrize("text", ["", "\n \n", "short\n", f"{ONE}\nwith a space in it all\n", "\udcff" * 20])
def test_a_file_that_holds_no_tokens_any_more_lets_nobody_in(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(str(file))
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert not tokens.lets_in(f"Bearer {ONE}")
    assert "nobody is let in" in caplog.text
    assert ONE not in caplog.text
    rewrite(file, f"{ONE}\n")
    assert tokens.lets_in(f"Bearer {ONE}")


def test_a_file_that_is_gone_lets_nobody_in(file: Path) -> None:
    tokens = TokenFile(str(file))
    file.unlink()
    assert not tokens.lets_in(f"Bearer {ONE}")


def test_what_could_not_be_read_is_tried_again(
    file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = TokenFile(str(file))
    rewrite(file, f"{OTHER}\n")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", lambda *_: Path("/no/such/file").read_bytes())
        assert not tokens.lets_in(f"Bearer {OTHER}")
        assert not tokens.lets_in(f"Bearer {OTHER}")
    assert caplog.text.count("nobody is let in") == 1
    assert tokens.lets_in(f"Bearer {OTHER}")


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "it holds no token"), (f"{ONE}\nsecret\n", "line 2 is no token"), (f"{ONE} x\n", "line 1 is no token")],
)
def test_a_wrong_file_is_told_of_at_the_start_without_what_it_holds(file: Path, text: str, said: str) -> None:
    file.write_text(text)
    with pytest.raises(Misconfigured, match=f"--token-file {re.escape(str(file))}: {said}") as error:
        TokenFile(str(file))
    assert "secret" not in str(error.value)
    file.unlink()
    with pytest.raises(Misconfigured, match="cannot be read"):
        TokenFile(str(file))


@pytest.mark.parametrize(
    ("host", "local"),
    [
        *(("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.5", False), ("box.example", False), ("", False)),  # noqa: S104
    ],
)
def test_others_are_let_in_only_where_somebody_said_so(host: str, local: bool) -> None:  # noqa: FBT001
    settings = ServeSettings(host=host)
    assert settings.is_local is local
    if local:
        settings.check()
    else:
        with pytest.raises(Misconfigured, match=r"--token-file, or .* --allow-anonymous"):
            settings.check()
    ServeSettings(host=host, token_file="tokens").check()  # noqa: S106 - a file's name
    ServeSettings(host=host, allow_anonymous=True).check()
    with pytest.raises(Misconfigured, match="give only one"):
        ServeSettings(host=host, token_file="tokens", allow_anonymous=True).check()  # noqa: S106 - as above


def test_without_its_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name and None)
    with pytest.raises(Misconfigured, match=re.escape("install neardup with its extra: neardup[serve]")):
        answer(ServeSettings())


def test_an_image_that_there_is_never_room_for_is_no_setting() -> None:
    ServeSettings(max_image_bytes=2048, in_flight_bytes=2048).check()
    with pytest.raises(Misconfigured, match="--in-flight-bytes 2047 is less than one image may have"):
        ServeSettings(max_image_bytes=2048, in_flight_bytes=2047).check()
