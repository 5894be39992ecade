"""A settings dataclass as a command line: parser, help, and messages for unknown flags."""

import argparse
import dataclasses
import difflib
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from neardup.errors import Misconfigured
from neardup.settings.options import Option, options_of
from neardup.settings.subjects import SUBJECTS

_MOST_USED = "Most used"
_VALUE = re.compile(r"[^-]|-\d|-$")
"""Start of a word that is not a flag; negative numbers are not flags."""


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """What the arguments give for one setting.

    Attributes
    ----------
    texts
        By flag (or name of the positional argument): its text, its list of texts, True or False, or None.
    file
        Path of the file with the value, for a secret.
    """

    texts: dict[str, Any]
    file: str | None

    @property
    def flag(self) -> str:
        """The first flag that was given; empty for none."""
        return next((flag for flag, text in self.texts.items() if text is not None and text != []), "")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Misconfigured(message)


class _Help(argparse.Action):
    """Shows help and ends the program."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: object, values: object, flag: object = None) -> None:
        del namespace, values
        sys.stdout.write(self.const(everything=flag == "--help-all"))
        parser.exit()


def parse(
    settings: type[Any], arguments: Sequence[str], *, prog: str, description: str
) -> tuple[dict[str, Given], list[str]]:
    """Return what was given, by field, and the unknown words.

    Raises
    ------
    Misconfigured
        A flag without its value, for example.
    SystemExit
        After help.
    """
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=False)

    def show(*, everything: bool) -> str:
        return help_text(settings, prog=prog, description=description, everything=everything)

    parser.add_argument("-h", "--help", "--help-all", action=_Help, nargs=0, const=show)
    for name, declared in options_of(settings):
        add_option(parser, name, declared)
    found, strangers = parser.parse_known_intermixed_args(arguments)
    return {name: _given(declared, name, vars(found)) for name, declared in options_of(settings)}, strangers


def _given(declared: Option, name: str, found: dict[str, Any]) -> Given:
    names = [declared.flag, *declared.aliases]
    return Given({flag: found[_dest(declared, name, flag)] for flag in names}, found.get(_of_file(name)))


def _dest(declared: Option, name: str, flag: str) -> str:
    # No field of a dataclass can have such a name.
    return name if flag == declared.flag else f"{name} {flag}"


def _of_file(name: str) -> str:
    return f"{name} file"


def add_option(
    parser: "argparse.ArgumentParser | argparse._ArgumentGroup", name: str, declared: Option, *, with_file: bool = True
) -> argparse.Action:
    """Add a setting to a parser, with its aliases and, for a secret, its file; return the main action."""
    text = _help(declared).replace("%", "%%")
    names = [name] if declared.positional else [declared.flag]
    added = parser.add_argument(*names, help=text, **_argparse_words(declared, name, positional=declared.positional))
    for alias in declared.aliases:
        words = _argparse_words(declared, _dest(declared, name, alias), positional=False)
        parser.add_argument(alias, help=argparse.SUPPRESS, **words)
    if declared.file_flag and with_file:
        text = f"file that contains {declared.flag} [{declared.file_env}]"
        parser.add_argument(declared.file_flag, dest=_of_file(name), metavar="PATH", help=text)
    return added


def _argparse_words(declared: Option, dest: str, *, positional: bool) -> dict[str, Any]:
    words: dict[str, Any] = {"default": None}
    if positional:
        return words | {"metavar": declared.flag, "nargs": "*" if declared.many else "?"}
    words["dest"] = dest
    if declared.switch:
        return words | {"action": argparse.BooleanOptionalAction}
    if declared.many:
        words["action"] = "append"
    if declared.bare:
        words |= {"nargs": "?", "const": declared.bare}
    return words | {"metavar": "X"}


def help_text(settings: type[Any], *, prog: str, description: str, everything: bool) -> str:
    """Return the help of a command: with the most used settings, or with all."""
    declared = list(options_of(settings))
    shown = [each for each in declared if everything or each[1].common]
    arguments = "".join(f" [{each.flag}{' ...' if each.many else ''}]" for _, each in declared if each.positional)
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog}{arguments} [settings]",
        description=description,
        epilog=_epilog(len(declared) - len(shown), prog),
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for title, members in _groups(shown):
        group = parser.add_argument_group(title)
        for name, each in members:
            add_option(group, name, each, with_file=everything)
    return parser.format_help()


def _epilog(hidden: int, prog: str) -> str:
    if not hidden:
        return "A flag takes precedence over its environment variable, shown in brackets."
    more = f"one more setting: {prog}" if hidden == 1 else f"{hidden} more settings, by subject: {prog}"
    return f"A flag takes precedence over its environment variable, shown in brackets.\n{more} --help-all"


def _groups(shown: Sequence[tuple[str, Option]]) -> Iterator[tuple[str, list[tuple[str, Option]]]]:
    common = [each for each in shown if each[1].common]
    if common:
        yield _MOST_USED, sorted(common, key=lambda each: SUBJECTS.index(each[1].subject))
    for subject in SUBJECTS:
        members = [each for each in shown if each[1].subject == subject and not each[1].common]
        if members:
            yield subject, members


def _help(declared: Option) -> str:
    parts = [declared.text]
    if declared.default_text and not declared.switch:
        parts.append(f"(default: {declared.default_text})")
    if declared.aliases:
        parts.append(f"(also {', '.join(declared.aliases)})")
    if declared.env:
        parts.append(f"[{declared.env}]")
    return " ".join(parts)


def flags_of(settings: type[Any]) -> dict[str, Option]:
    """Return every flag that the settings accept, including aliases and secret files."""
    found: dict[str, Option] = {}
    for _, declared in options_of(settings):
        found |= dict.fromkeys(declared.flags, declared)
        if declared.switch:
            found |= {flag.replace("--", "--no-", 1): declared for flag in declared.flags}
        if declared.file_flag:
            found[declared.file_flag] = declared
    return found


def unknown_words(words: Sequence[str], flags: dict[str, Option]) -> Iterator[str]:
    """Yield the unknown words; flags without what looks like their value."""
    follows = False
    for word in words:
        if _VALUE.match(word):
            if not follows:
                yield word
            follows = False
        else:
            flag, _, value = word.partition("=")
            yield flag
            follows = not value and not (flag in flags and flags[flag].switch)


def unknown_lines(settings: type[Any], words: Sequence[str]) -> Iterator[str]:
    """Yield a line for each unknown word."""
    known = flags_of(settings)
    for word in unknown_words(words, known):
        yield no_such_flag(word, known) if word.startswith("-") else f"{word!r}: there is no such argument"


def no_such_flag(flag: str, known: Iterable[str]) -> str:
    """Return the line for a flag that does not exist."""
    return f"{flag}: there is no such flag{did_you_mean(flag, known)}"


def did_you_mean(word: str, known: Iterable[str], *, alike: str = "") -> str:
    """Return a suggestion for an unknown word; empty if nothing is close. All begin with `alike`."""
    near = difflib.get_close_matches(word.removeprefix(alike), [each.removeprefix(alike) for each in known], n=1)
    return f"; did you mean {alike}{near[0]}?" if near else ""
