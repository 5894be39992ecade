"""Settings as one frozen dataclass an application: each field is a flag, an environment variable and a default.

Nothing is read here or at import: the caller hands over the arguments and the environment.
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from neardup.errors import Misconfigured
from neardup.settings.parsers import boolean

ENV_PREFIX = "NEARDUP_"
_KEY = "option"
_LARGEST_SECRET_BYTES = 64 * 1024
"""More is no password but a wrong file, and perhaps one without an end."""
Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """How one field is set from outside.

    Attributes
    ----------
    flag
        As on the command line, ``--redis``; a name without hyphens is a positional argument.
    env
        Its environment variable; empty for none.
    default_text
        What help and docs show.
    text
        One line of help.
    parse
        Makes the value out of a text; raises ValueError saying what it should be.
    switch
        A flag without a value: it is there or it is not.
    many
        Takes one or more values (positional) or may be repeated (flag); the field is a tuple.
    secret
        Masked wherever settings are shown, and may stand in a file, which `file_flag` or `file_env` names.
    required
        There is no default: the flag or the variable has to be there.
    """

    flag: str
    env: str
    default_text: str
    text: str
    parse: Callable[[str], Any]
    switch: bool = False
    many: bool = False
    secret: bool = False
    required: bool = False

    @property
    def file_flag(self) -> str:
        """The flag that names a file with the value; empty for what is no secret."""
        return f"{self.flag}-file" if self.secret and self.flag.startswith("-") else ""

    @property
    def file_env(self) -> str:
        """The environment variable that names a file with the value; empty for what is no secret."""
        return f"{self.env}_FILE" if self.secret and self.env else ""


def option(
    flag: str,
    text: str,
    default: Any = dataclasses.MISSING,  # noqa: ANN401 - of the field's own type
    parse: Callable[[str], Any] = str,
    *,
    env: str | None = None,
    many: bool = False,
    secret: bool = False,
) -> Any:  # noqa: ANN401 - stands where a field's default stands
    """Declare a field of a settings dataclass; `env` defaults to the flag's name with the prefix."""
    switch = isinstance(default, bool)
    derived = ENV_PREFIX + flag.lstrip("-").replace("-", "_").upper() if flag.startswith("--") else ""
    declared = Option(
        flag=flag,
        env=derived if env is None else env,
        default_text=_default_text(default),
        text=text,
        parse=boolean if switch else parse,
        switch=switch,
        many=many,
        secret=secret,
        required=default is dataclasses.MISSING,
    )
    return dataclasses.field(default=default, metadata={_KEY: declared}, repr=not secret)


def _default_text(default: Any) -> str:  # noqa: ANN401 - of the field's own type
    if default is dataclasses.MISSING or default is None:
        return ""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def options_of(settings: type[Any]) -> Iterator[tuple[str, Option]]:
    """Iterate over field names and their options."""
    for field in dataclasses.fields(settings):
        if _KEY in field.metadata:
            yield field.name, field.metadata[_KEY]


def read_settings(
    settings: type[Settings],
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    prog: str,
    description: str,
    defaults: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {},
) -> Settings:
    """Return settings from the arguments, else the environment, else the defaults.

    `defaults` is told what was given, by field, and returns defaults that go before those of the fields.

    Raises
    ------
    Misconfigured
        With every wrong or missing value, a line each.
    SystemExit
        After ``--help``, or on an unknown flag (argparse's way).
    """
    given = vars(_parser(settings, prog, description).parse_intermixed_args(arguments))
    values, wrong = {}, []
    for name, declared in options_of(settings):
        try:
            source, text = _text_of(declared, given.get(name), given.get(_of_file(name)), environ)
            if text is not None:
                values[name] = _value(declared, source, text)
            elif declared.required:
                wrong.append(f"{_named(declared)}: it is required")
        except Misconfigured as exc:
            wrong.append(str(exc))
    if wrong:
        raise Misconfigured("\n".join(wrong))
    return settings(**{**defaults(values), **values})


def _of_file(name: str) -> str:
    # No field of a dataclass can have this name.
    return f"{name} file"


def _named(declared: Option) -> str:
    return f"{declared.flag} or {declared.env}" if declared.env else declared.flag


def _parser(settings: type[Any], prog: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description=description, allow_abbrev=False)
    for name, declared in options_of(settings):
        parser.add_argument(*_names(name, declared), **_argparse_words(name, declared))
        if declared.file_flag:
            text = f"file that holds {declared.flag} [{declared.file_env}]"
            parser.add_argument(declared.file_flag, dest=_of_file(name), metavar="PATH", help=text)
    return parser


def _names(name: str, declared: Option) -> list[str]:
    return [declared.flag] if declared.flag.startswith("-") else [name]


def _argparse_words(name: str, declared: Option) -> dict[str, Any]:
    words: dict[str, Any] = {"default": None, "help": _help(declared)}
    positional = not declared.flag.startswith("-")
    if positional:
        words |= {"metavar": declared.flag, "nargs": "?"}
    else:
        words["dest"] = name
    if declared.switch:
        words["action"] = argparse.BooleanOptionalAction
    elif declared.many:
        words |= {"nargs": "*"} if positional else {"action": "append"}
    if not positional and not declared.switch:
        words["metavar"] = "X"
    return words


def _help(declared: Option) -> str:
    parts = [declared.text]
    if declared.default_text and not declared.switch:
        parts.append(f"(default: {declared.default_text})")
    if declared.env:
        parts.append(f"[{declared.env}]")
    return " ".join(parts).replace("%", "%%")


def _text_of(
    declared: Option,
    given: Any,  # noqa: ANN401 - argparse
    given_file: str | None,
    environ: Mapping[str, str],
) -> tuple[str, Any]:
    """Return where a value stands, and its text; None for none. Raises Misconfigured."""
    if given is not None and given != []:
        _refuse_both(declared.flag, declared.file_flag, given_file)
        return declared.flag, given
    if given_file is not None:
        return declared.file_flag, _secret_in(declared.file_flag, given_file)
    return _text_in(environ, declared)


def _text_in(environ: Mapping[str, str], declared: Option) -> tuple[str, Any]:
    text = environ.get(declared.env) if declared.env else None
    path = environ.get(declared.file_env) if declared.file_env else None
    if text:
        _refuse_both(declared.env, declared.file_env, path)
    elif path:
        return declared.file_env, _secret_in(declared.file_env, path)
    if text and declared.many:
        return declared.env, [part.strip() for part in text.split(",") if part.strip()] or None
    return declared.env, text or None


def _refuse_both(name: str, file_name: str, path: str | None) -> None:
    if path:
        raise Misconfigured(f"{name} and {file_name} contradict one another: give the value or the file, not both")


def _secret_in(name: str, path: str) -> str:
    """Return the only line of a file; its content is never shown."""
    try:
        with Path(path).open("rb") as file:
            content = file.read(_LARGEST_SECRET_BYTES + 1)
        text = content.decode("utf-8").rstrip("\r\n")
    except OSError as exc:
        raise Misconfigured(f"{name}: {path!r} cannot be read: {exc.strerror or type(exc).__name__}") from exc
    except ValueError:  # not UTF-8, or a path with a null in it; the text of the first would show the content
        raise Misconfigured(f"{name}: {path!r} is no file of UTF-8 text") from None
    if not text:
        raise Misconfigured(f"{name}: {path!r} is empty")
    if len(content) > _LARGEST_SECRET_BYTES or len(text.splitlines()) > 1:
        raise Misconfigured(f"{name}: {path!r} should hold one line, the value and nothing else")
    return text


def _value(declared: Option, source: str, text: Any) -> Any:  # noqa: ANN401 - of the field's own type
    try:
        return _parsed(declared, text)
    except ValueError as exc:
        if declared.secret:  # what a parser complains of may repeat what it was given
            raise Misconfigured(f"{source}: *** is wrong: {_without(str(text), str(exc))}") from None
        raise Misconfigured(f"{source}: {text!r} is wrong: {exc}") from exc


def _without(secret: str, text: str) -> str:
    return text.replace(secret, "***") if secret else text


def _parsed(declared: Option, text: Any) -> Any:  # noqa: ANN401 - of the field's own type
    if isinstance(text, bool):
        return text
    if declared.many:
        return tuple(declared.parse(item) for item in text)
    return declared.parse(text)


def refuse(contradictions: Iterable[str]) -> None:
    """Refuse settings that contradict one another.

    Raises
    ------
    Misconfigured
        With every contradiction, a line each; there may be none.
    """
    wrong = list(contradictions)
    if wrong:
        raise Misconfigured("\n".join(wrong))
