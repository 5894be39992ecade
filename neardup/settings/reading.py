"""Reads settings from the given arguments and environment; nothing is read at import."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from neardup.errors import Misconfigured
from neardup.secrets import FileSecret, read_secret
from neardup.settings.command_line import Given, parse, unknown_lines
from neardup.settings.options import Option, options_of

Settings = TypeVar("Settings")


def read_settings(
    settings: type[Settings],
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    prog: str,
    description: str,
    unknown: Callable[[Sequence[str]], Iterable[str]] | None = None,
) -> Settings:
    """Return settings from the arguments, else the environment, else the defaults.

    A settings class may define ``implied(given)``, which returns defaults that override those of the fields, and
    ``refused(flags, given)``, which yields a line for each flag that has no effect. One with a field `given` is
    told the names of the fields that the arguments or the environment set.

    Parameters
    ----------
    unknown
        Returns a line for each unknown argument.

    Raises
    ------
    Misconfigured
        With a line for each unknown flag and each wrong or missing value.
    SystemExit
        After ``--help``.
    """
    given, strangers = parse(settings, arguments, prog=prog, description=description)
    wrong = list((unknown or (lambda words: unknown_lines(settings, words)))(strangers)) if strangers else []
    values = {}
    for name, declared in options_of(settings):
        if strangers and declared.positional:
            continue  # it may be the value of an unknown flag
        try:
            source, text = _text_of(declared, given[name], environ)
            if text is not None:
                values[name] = _value(declared, source, text)
            elif declared.required:
                wrong.append(f"{_named(declared)}: it is required")
        except Misconfigured as exc:
            wrong.append(str(exc))
    wrong += _refused(settings, given, values)
    if wrong:
        raise Misconfigured("\n".join(wrong))
    return settings(**{**_implied(settings, values), **values, **_told(settings, values)})


def _implied(settings: type[Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    implied: Mapping[str, Any] = settings.implied(values) if hasattr(settings, "implied") else {}
    return implied


def _told(settings: type[Any], values: Mapping[str, Any]) -> Mapping[str, Any]:
    asked = "given" in {each.name for each in fields(settings)}
    return {"given": frozenset(values)} if asked else {}


def _refused(settings: type[Any], given: Mapping[str, Given], values: Mapping[str, Any]) -> Iterable[str]:
    flags = {name: each.flag for name, each in given.items() if each.flag}
    lines: Iterable[str] = settings.refused(flags, values) if hasattr(settings, "refused") else ()
    return lines


def _named(declared: Option) -> str:
    return f"{declared.flag} or {declared.env}" if declared.env else declared.flag


def _text_of(declared: Option, given: Given, environ: Mapping[str, str]) -> tuple[str, Any]:
    """Return where a value was given, and its text; None if it was not. Raises Misconfigured."""
    texts = {flag: text for flag, text in given.texts.items() if text is not None and text != []}
    if texts:
        flag, text = _agreed(texts)
        _refuse_both(flag, declared.file_flag, given.file)
        return flag, text
    if given.file is not None:
        return declared.file_flag, _secret_in(declared.file_flag, given.file)
    return _text_in(environ, declared)


def _text_in(environ: Mapping[str, str], declared: Option) -> tuple[str, Any]:
    texts = {env: environ[env] for env in declared.envs if environ.get(env)}
    path = environ.get(declared.file_env) if declared.file_env else None
    if not texts:
        return (declared.file_env, _secret_in(declared.file_env, path)) if path else (declared.env, None)
    env, text = _agreed(texts)
    _refuse_both(env, declared.file_env, path)
    if declared.many:
        return env, [part.strip() for part in text.split(",") if part.strip()] or None
    return env, text


def _agreed(texts: Mapping[str, Any]) -> tuple[str, Any]:
    """Return the value that all names of a setting agree on, and the first of those names."""
    (name, text), *others = texts.items()
    for other, differs in others:
        if differs != text:
            raise Misconfigured(f"{name} and {other} contradict one another: they are two names of one setting")
    return name, text


def _refuse_both(name: str, file_name: str, path: str | None) -> None:
    if path:
        raise Misconfigured(f"{name} and {file_name} contradict one another: give the value or the file, not both")


def _secret_in(name: str, path: str) -> FileSecret:
    """Return the only line of a file; its content is never shown."""
    try:
        return read_secret(path)
    except Misconfigured as exc:
        raise Misconfigured(f"{name}: {exc}") from exc


def _value(declared: Option, source: str, text: Any) -> Any:  # noqa: ANN401 - of the field's own type
    try:
        return _parsed(declared, text)
    except ValueError as exc:
        if declared.secret:  # the parser's message may repeat the value
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
