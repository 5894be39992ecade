"""``neardup completion bash``: prints a completion script for commands, flags and some values."""

import argparse
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neardup.cli.commands import COMMANDS, Command
from neardup.errors import Misconfigured
from neardup.settings.command_line import add_option
from neardup.settings.options import Option, option, options_of
from neardup.settings.parsers import choices_of, one_of
from neardup.settings.subjects import FILES, RUNNING


@dataclass(frozen=True, kw_only=True)
class CompletionSettings:
    """All settings of ``neardup completion``."""

    shell: str = option(
        "SHELL", "bash, zsh, tcsh or fish", parse=one_of("bash", "zsh", "tcsh", "fish"), subject=RUNNING, common=True
    )


def completion(settings: CompletionSettings) -> int:
    """Print the script; return the exit code.

    Raises
    ------
    Misconfigured
        The installed shtab does not support the shell.
    """
    import shtab  # noqa: PLC0415 - for this command alone

    if settings.shell not in shtab.SUPPORTED_SHELLS:
        raise Misconfigured(
            f"SHELL: the installed shtab supports only {', '.join(shtab.SUPPORTED_SHELLS)}: install a newer one"
        )
    script: str = shtab.complete(_parser(COMMANDS, shtab.FILE), shell=settings.shell)
    sys.stdout.write(f"{script}\n")
    return 0


def _parser(commands: Iterable[Command], file: Any) -> argparse.ArgumentParser:  # noqa: ANN401 - shtab's own
    """Return a parser of all commands, for completion only; `read_settings` parses the arguments."""
    parser = argparse.ArgumentParser(prog="neardup")
    parser.add_argument("--version", action="store_true", help="print the version")
    below = parser.add_subparsers()
    families: dict[str, Any] = {}
    for each in commands:
        first, _, tool = each.name.partition(" ")
        if tool and first not in families:
            families[first] = below.add_parser(first, help="look at a live index, check it, repair it").add_subparsers()
        of_one = families[first].add_parser(tool, help=each.text) if tool else below.add_parser(first, help=each.text)
        _add_settings(of_one, each, file)
    return parser


def _add_settings(parser: argparse.ArgumentParser, command: Command, file: Any) -> None:  # noqa: ANN401 - as above
    parser.add_argument("--help-all", action="store_true", help="show every setting")
    for name, declared in options_of(command.settings_class):
        added = add_option(parser, name, declared)
        if choices := choices_of(declared.parse):
            added.choices = choices
        elif _is_a_path(declared):
            added.complete = file  # type: ignore[attr-defined]  # read by shtab


def _is_a_path(declared: Option) -> bool:
    return (
        declared.parse is Path or declared.flag.endswith("file") or (declared.positional and declared.subject == FILES)
    )
