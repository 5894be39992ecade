"""A setting comes from its flag, else its variable, else its default; what is wrong is said all at once."""

import dataclasses
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neardup.errors import Misconfigured
from neardup.settings.options import option, options_of
from neardup.settings.parsers import auto_or, boolean, integer, number, one_of
from neardup.settings.reading import read_settings


@dataclasses.dataclass(frozen=True, slots=True)
class Example:
    """Settings of every kind."""

    name: str = option("--index", "which index", "photos")
    workers: int = option("--workers", "threads that decode", 4, integer(1, 64))
    rate: float | None = option("--rate", "images a second", None, number(0.1, 1000))
    verbose: bool = option("--verbose", "say more; 100 % of it", default=False)
    cache: bool = option("--cache", "keep what was read", default=True)
    mode: str = option("--mode", "how", "fast", one_of("fast", "exact"))
    clusters: int | None = option("--clusters", "how many", None, auto_or(integer(1, 10)))
    password: str | None = option("--password", "for Redis", None, secret=True)
    pin: int = option("--pin", "a secret number", 0, integer(0, 9999), secret=True)
    folders: tuple[str, ...] = option("--folder", "where images lie", (), many=True)
    sizes: tuple[int, ...] = option("--size", "sides", (32, 64), integer(1, 1024), many=True)
    elsewhere: str = option("--elsewhere", "named otherwise", "x", env="OTHER_NAME")
    hidden: str = option("--hidden", "has no variable", "x", env="")


@dataclasses.dataclass(frozen=True, slots=True)
class Demanding:
    """Settings without defaults."""

    seeds: tuple[str, ...] = option("SEEDS", "what to read", many=True)
    index: str = option("--index", "which index")


@dataclasses.dataclass(frozen=True, slots=True)
class Single:
    """One positional argument."""

    target: str = option("TARGET", "where to")


def read(*arguments: str, **environ: str) -> Example:
    return read_settings(Example, arguments, environ, prog="example", description="An example.")


def read_demanding(*arguments: str, **environ: str) -> Demanding:
    return read_settings(Demanding, arguments, environ, prog="demanding", description="An example.")


class TestPrecedence:
    def test_defaults(self) -> None:
        assert read() == Example()

    def test_the_environment_comes_before_the_default(self) -> None:
        assert read(NEARDUP_WORKERS="7").workers == 7

    def test_the_flag_comes_before_the_environment(self) -> None:
        assert read("--workers", "9", NEARDUP_WORKERS="7").workers == 9

    def test_a_wrong_variable_behind_a_flag_does_not_matter(self) -> None:
        assert read("--workers", "9", NEARDUP_WORKERS="many").workers == 9

    def test_an_empty_variable_counts_as_none(self) -> None:
        assert read(NEARDUP_WORKERS="", NEARDUP_INDEX="").workers == 4

    def test_an_empty_flag_is_a_value(self) -> None:
        assert read("--index", "", NEARDUP_INDEX="other").name == ""

    def test_variables_of_others_do_not_matter(self) -> None:
        assert read(WORKERS="7", workers="8", NEARDUP_NOTHING="9") == Example()

    def test_a_variable_may_have_another_name(self) -> None:
        assert read(OTHER_NAME="y", NEARDUP_ELSEWHERE="z").elsewhere == "y"

    def test_a_setting_may_have_no_variable(self) -> None:
        assert read(NEARDUP_HIDDEN="y").hidden == "x"

    @pytest.mark.parametrize("flag", ["--work", "--workerss"])
    def test_flags_are_not_abbreviated(self, flag: str) -> None:
        with pytest.raises(Misconfigured, match=f"^{flag}: there is no such flag; did you mean --workers\\?$"):
            read(flag, "3")


class TestSwitches:
    @pytest.mark.parametrize("text", ["1", "true", "True", "YES", "on"])
    def test_on(self, text: str) -> None:
        assert read(NEARDUP_VERBOSE=text).verbose is True

    @pytest.mark.parametrize("text", ["0", "false", "No", "OFF"])
    def test_off(self, text: str) -> None:
        assert read(NEARDUP_CACHE=text).cache is False

    def test_flags_both_ways(self) -> None:
        settings = read("--verbose", "--no-cache", NEARDUP_VERBOSE="0", NEARDUP_CACHE="1")
        assert (settings.verbose, settings.cache) == (True, False)

    def test_anything_else_is_wrong(self) -> None:
        with pytest.raises(Misconfigured, match="NEARDUP_VERBOSE: 'perhaps' is wrong: it should be 1 or 0"):
            read(NEARDUP_VERBOSE="perhaps")


class TestMany:
    def test_a_flag_may_be_repeated(self) -> None:
        assert read("--folder", "a", "--folder", "b,c").folders == ("a", "b,c")

    def test_a_variable_is_split_at_commas(self) -> None:
        assert read(NEARDUP_FOLDER="a, b ,,c,").folders == ("a", "b", "c")

    def test_each_is_parsed(self) -> None:
        assert read(NEARDUP_SIZE="8,16").sizes == (8, 16)

    @pytest.mark.parametrize("text", [",", " , "])
    def test_only_commas_count_as_none(self, text: str) -> None:
        assert read(NEARDUP_SIZE=text).sizes == (32, 64)

    def test_positional(self) -> None:
        assert read_demanding("a", "b", "--index", "i", "c").seeds == ("a", "b", "c")

    def test_a_single_positional(self) -> None:
        assert read_settings(Single, ["a"], {}, prog="single", description="").target == "a"
        with pytest.raises(Misconfigured, match="TARGET: it is required"):
            read_settings(Single, [], {}, prog="single", description="")


class TestErrors:
    def test_all_are_reported_together(self) -> None:
        with pytest.raises(Misconfigured) as caught:
            read("--rate", "fast", "--mode", "slow", NEARDUP_WORKERS="0", NEARDUP_SIZE="8,x")
        lines = str(caught.value).splitlines()
        assert sorted(line.split(":")[0] for line in lines) == ["--mode", "--rate", "NEARDUP_SIZE", "NEARDUP_WORKERS"]

    def test_each_says_where_it_stands_and_what_it_should_be(self) -> None:
        with pytest.raises(Misconfigured, match="--workers: '65' is wrong: it should be a whole number from 1 to 64"):
            read("--workers", "65")

    def test_what_is_missing_is_reported_with_the_rest(self) -> None:
        with pytest.raises(Misconfigured) as caught:
            read_demanding()
        assert str(caught.value).splitlines() == [
            "SEEDS: it is required",
            "--index or NEARDUP_INDEX: it is required",
        ]

    def test_a_variable_satisfies_what_is_required(self) -> None:
        assert read_demanding("a", "b", NEARDUP_INDEX="i").index == "i"

    def test_a_wrong_secret_is_not_shown(self) -> None:
        with pytest.raises(Misconfigured) as caught:
            read(NEARDUP_PIN="hunter2")
        assert "hunter2" not in str(caught.value)
        assert "NEARDUP_PIN: *** is wrong" in str(caught.value)


def test_secrets_do_not_show_in_repr() -> None:
    settings = read("--password", "hunter2", NEARDUP_PIN="1234")
    assert (settings.password, settings.pin) == ("hunter2", 1234)
    assert "hunter2" not in repr(settings)
    assert "1234" not in repr(settings)


class TestSecretFiles:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "secret"
        path.write_text("hunter2\n")
        return path

    def test_by_flag_and_by_variable(self, file: Path) -> None:
        assert read("--password-file", str(file)).password == "hunter2"  # noqa: S105 - invented
        assert read(NEARDUP_PASSWORD_FILE=str(file)).password == "hunter2"  # noqa: S105 - invented

    @pytest.mark.parametrize("content", ["x y", "x y\n", "x y\r\n", "x y\n\n"])
    def test_line_ends_behind_it_do_not_count_and_spaces_do(self, content: str, file: Path) -> None:
        file.write_bytes(content.encode())
        assert read(NEARDUP_PASSWORD_FILE=str(file)).password == "x y"  # noqa: S105 - invented

    def test_a_value_from_a_file_is_parsed_and_not_shown(self, file: Path) -> None:
        file.write_text("1234\n")
        settings = read(NEARDUP_PIN_FILE=str(file))
        assert settings.pin == 1234
        assert "1234" not in repr(settings)
        file.write_text("hunter2\n")
        with pytest.raises(Misconfigured, match=r"^NEARDUP_PIN_FILE: \*\*\* is wrong: it should be a whole number"):
            read(NEARDUP_PIN_FILE=str(file))

    def test_flags_come_before_the_environment(self, file: Path) -> None:
        environ = {"NEARDUP_PASSWORD": "x", "NEARDUP_PASSWORD_FILE": "/no/where"}
        assert read("--password-file", str(file), **environ).password == "hunter2"  # noqa: S105 - invented
        assert read("--password", "flag", **environ).password == "flag"  # noqa: S105 - invented

    def test_an_empty_variable_names_no_file(self) -> None:
        assert read(NEARDUP_PASSWORD="x", NEARDUP_PASSWORD_FILE="").password == "x"  # noqa: S105, S106 - invented
        assert read(NEARDUP_PASSWORD="", NEARDUP_PASSWORD_FILE="").password is None

    def test_value_and_file_contradict_one_another(self, file: Path) -> None:
        with pytest.raises(Misconfigured, match=r"^NEARDUP_PASSWORD and NEARDUP_PASSWORD_FILE contradict one another"):
            read(NEARDUP_PASSWORD="hunter2", NEARDUP_PASSWORD_FILE=str(file))  # noqa: S106 - invented
        with pytest.raises(Misconfigured, match=r"^--password and --password-file contradict one another") as caught:
            read("--password", "hunter2", "--password-file", str(file))
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "complaint"),
        [
            (b"", "is empty"),
            (b"\r\n\n", "is empty"),
            (b"hunter2\nhunter3\n", "should hold one line, the value and nothing else"),
            (b"hunter2" * 10_000, "should hold one line, the value and nothing else"),
            (b"hunter2\xff", "is not a UTF-8 text file"),
        ],
    )
    def test_a_file_of_no_use_is_named_and_not_shown(self, content: bytes, complaint: str, file: Path) -> None:
        file.write_bytes(content)
        with pytest.raises(Misconfigured) as caught:
            read("--workers", "0", NEARDUP_PASSWORD_FILE=str(file))
        assert str(caught.value).splitlines()[1:] == [f"NEARDUP_PASSWORD_FILE: {str(file)!r} {complaint}"]
        assert "hunter" not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize(
        ("path", "complaint"),
        [("/no/where", "No such file or directory"), ("/", "Is a directory")],
    )
    def test_a_file_that_cannot_be_read_is_named(self, path: str, complaint: str) -> None:
        with pytest.raises(Misconfigured, match=f"^--password-file: '{path}' cannot be read: {complaint}$"):
            read("--password-file", path)

    def test_a_file_without_an_end_is_not_read_to_it(self) -> None:
        with pytest.raises(Misconfigured, match="should hold one line"):
            read("--password-file", "/dev/zero")

    def test_only_secrets_have_files(self) -> None:
        files = {declared.file_flag: declared.file_env for _, declared in options_of(Example) if declared.file_flag}
        assert files == {"--password-file": "NEARDUP_PASSWORD_FILE", "--pin-file": "NEARDUP_PIN_FILE"}
        assert read(NEARDUP_INDEX_FILE="/no/where").name == "photos"


class TestHelp:
    @pytest.fixture
    def help_text(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            read("--help-all")
        assert caught.value.code == 0
        return capsys.readouterr().out

    def test_it_names_every_flag_variable_and_default(self, help_text: str) -> None:
        for _, declared in options_of(Example):
            assert declared.flag in help_text
            assert not declared.file_env or f"file that contains {declared.flag} [{declared.file_env}]" in help_text
            assert not declared.env or f"[{declared.env}]" in help_text
            assert declared.switch or declared.default_text in help_text

    def test_it_shows_what_a_reader_expects(self, help_text: str) -> None:
        assert "--workers X" in help_text
        assert "threads that decode (default: 4) [NEARDUP_WORKERS]" in help_text
        assert "--cache, --no-cache" in help_text
        assert "100 % of it" in help_text
        assert "(default: 32, 64)" in help_text
        assert "None" not in help_text


class TestParsers:
    @pytest.mark.parametrize("text", ["1", "64", " 5 "])
    def test_integer(self, text: str) -> None:
        assert integer(1, 64)(text) == int(text)

    @pytest.mark.parametrize("text", ["0", "65", "", "x", "1.5", "--5", "-", "1_0", "²", "9" * 5000])
    def test_not_an_integer_within_limits(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"whole number from 1 to 64|Exceeds the limit"):
            integer(1, 64)(text)

    def test_negative_integers(self) -> None:
        assert integer(-5, 5)("-5") == -5

    @pytest.mark.parametrize("text", ["0.5", "1e-1", "2"])
    def test_number(self, text: str) -> None:
        assert number(0.1, 2)(text) == float(text)

    @pytest.mark.parametrize("text", ["nan", "inf", "-1", "2.0001", "", "two"])
    def test_not_a_number_within_limits(self, text: str) -> None:
        with pytest.raises(ValueError, match="a number from 0 to 2"):
            number(0, 2)(text)

    @pytest.mark.parametrize(("text", "value"), [("auto", None), ("7", 7)])
    def test_auto_or(self, text: str, value: int | None) -> None:
        assert auto_or(integer(1, 10))(text) == value

    def test_auto_or_names_auto_in_its_error(self) -> None:
        with pytest.raises(ValueError, match="from 1 to 10, or auto"):
            auto_or(integer(1, 10))("eleven")

    @pytest.mark.parametrize("parse", [boolean, one_of("a", "b"), integer(0, 1), number(0, 1)])
    def test_every_parser_raises_value_errors_only(self, parse: Callable[[str], Any]) -> None:
        with pytest.raises(ValueError, match=r".+"):
            parse("\x00 what is this")


@dataclasses.dataclass(frozen=True, slots=True)
class Renamed:
    """Settings that once had other names."""

    radius: float = option("--radius", "how far", 0.5, number(0, 2), aliases=("--threshold",))
    source: str | None = option("PATH", "where from", None, aliases=("--input",), env="NEARDUP_INPUT")


def read_renamed(*arguments: str, **environ: str) -> Renamed:
    return read_settings(Renamed, arguments, environ, prog="renamed", description="")


class TestAliases:
    @pytest.mark.parametrize("flag", ["--radius", "--threshold"])
    def test_each_name_sets_it(self, flag: str) -> None:
        assert read_renamed(flag, "0.25").radius == 0.25

    @pytest.mark.parametrize("env", ["NEARDUP_RADIUS", "NEARDUP_THRESHOLD"])
    def test_so_does_each_variable(self, env: str) -> None:
        assert read_renamed(**{env: "0.25"}).radius == 0.25
        assert read_renamed("--threshold", "1", **{env: "0.25"}).radius == 1

    def test_the_same_twice_is_no_contradiction(self) -> None:
        assert read_renamed("--radius", "1", "--threshold", "1").radius == 1
        assert read_renamed(NEARDUP_RADIUS="1", NEARDUP_THRESHOLD="1").radius == 1
        assert read_renamed(NEARDUP_RADIUS="1", NEARDUP_THRESHOLD="").radius == 1

    def test_different_values_contradict_one_another(self) -> None:
        with pytest.raises(
            Misconfigured, match=r"^--radius and --threshold contradict one another: they are two names"
        ):
            read_renamed("--threshold", "1", "--radius", "0.5")
        with pytest.raises(Misconfigured, match=r"^NEARDUP_RADIUS and NEARDUP_THRESHOLD contradict one another"):
            read_renamed(NEARDUP_RADIUS="1", NEARDUP_THRESHOLD="0.5")

    def test_an_error_names_what_was_given(self) -> None:
        with pytest.raises(Misconfigured, match=r"^--threshold: '3' is wrong"):
            read_renamed("--threshold", "3")
        with pytest.raises(Misconfigured, match=r"^NEARDUP_THRESHOLD: '3' is wrong"):
            read_renamed(NEARDUP_THRESHOLD="3")

    def test_an_argument_may_have_a_flag_too(self) -> None:
        assert read_renamed("a").source == read_renamed("--input", "a").source == read_renamed(NEARDUP_INPUT="a").source
        with pytest.raises(Misconfigured, match=r"^PATH and --input contradict one another"):
            read_renamed("a", "--input", "b")

    def test_help_names_it(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            read_renamed("--help-all")
        assert "(also --threshold)" in capsys.readouterr().out


class TestUnknown:
    def test_unknown_flags_and_wrong_values_are_told_together(self) -> None:
        with pytest.raises(Misconfigured) as caught:
            read("--moode", "fast", "--pages=3", "--workers", "0", "word")
        assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
            "--moode",
            "--pages",
            "'word'",
            "--workers",
        ]

    def test_a_flag_without_its_value_is_one_line(self) -> None:
        with pytest.raises(Misconfigured, match=r"^argument --workers: expected one argument$"):
            read("--workers")
