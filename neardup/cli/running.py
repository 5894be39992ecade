"""Runs a command: from its arguments to its exit code, with a line on stderr for each expected error."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from neardup.cli.commands import COMMANDS, Command, named
from neardup.errors import Misconfigured, Unavailable
from neardup.settings.command_line import did_you_mean, flags_of, no_such_flag, unknown_words
from neardup.settings.options import ENV_PREFIX, Option, variables_of
from neardup.settings.reading import read_settings

EXIT_UNAVAILABLE = 1
EXIT_MISCONFIGURED = 2
EXIT_INTERRUPTED = 130
_OF_OTHERS = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)=|_PORT_\d+_(TCP|UDP)(_\w+)?=|_PORT=(tcp|udp)://|_DATA=")
"""What Kubernetes sets for services whose names begin like ours, and the photos of `make quality`."""


def run_command(command: Command, arguments: Sequence[str], environ: Mapping[str, str], prog: str = "") -> int:
    """Read the command's settings, run it, and return the exit code."""

    def work() -> int:
        return command.run(settings_of(command, arguments, environ, prog))

    return exit_code_of(work, command.error_prefix)


def settings_of(command: Command, arguments: Sequence[str], environ: Mapping[str, str], prog: str = "") -> Any:  # noqa: ANN401 - of the command's own class
    """Return the settings of a command.

    Raises
    ------
    Misconfigured
        With a line for each error.
    """
    sys.stderr.write("".join(f"{command.error_prefix}warning: {line}\n" for line in strange_variables(environ)))
    settings = read_settings(
        command.settings_class,
        arguments,
        environ,
        prog=prog or f"neardup {command.name}",
        description=f"{command.text[0].upper()}{command.text[1:]}.",
        unknown=lambda words: foreign_lines(command, words),
    )
    if hasattr(settings, "check"):
        settings.check()
    return settings


def strange_variables(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that begins like ours and that no command reads: most often it is misspelt."""
    set_names = {name for name, text in environ.items() if text and not _OF_OTHERS.search(f"{name}={text}")}
    names = {name for name in set_names if name.startswith(ENV_PREFIX)}
    meant: dict[str, str] = {}
    for each in COMMANDS if names else ():
        meant |= variables_of(each.settings_class)
    for name in sorted(name for name in names if meant.get(name) != name):
        instead = did_you_mean(meant.get(name, name), {*meant.values()}, alike=ENV_PREFIX)
        yield f"{name}: there is no such variable{instead}"


def run_member(members: Sequence[Command], arguments: Sequence[str], environ: Mapping[str, str], prog: str) -> int:
    """Run the tool that the arguments name, in any position; return the exit code."""
    tools = {each.name.partition(" ")[2]: each for each in members}
    flags: dict[str, Option] = {}
    for each in members:
        flags |= flags_of(each.settings_class)
    place = _place_of_argument(arguments, flags)
    if place is None:
        if {"-h", "--help", "--help-all"} & {*arguments}:
            sys.stdout.write(listed(members, prog))
            return 0
        return _failed(f"COMMAND: name one of {', '.join(tools)}", "", EXIT_MISCONFIGURED)
    word, rest = arguments[place], [*arguments[:place], *arguments[place + 1 :]]
    if word not in tools:
        instead = did_you_mean(word, tools) or f"; name one of {', '.join(tools)}"
        return _failed(f"COMMAND: there is no {word!r}{instead}", "", EXIT_MISCONFIGURED)
    return run_command(tools[word], rest, environ, f"{prog} {word}")


def _place_of_argument(arguments: Sequence[str], flags: Mapping[str, Option]) -> int | None:
    """Return the position of the first argument that is neither a flag nor a flag's value; None without one."""
    of_a_flag = False
    for place, word in enumerate(arguments):
        if not of_a_flag and not word.startswith("-"):
            return place
        of_a_flag = not of_a_flag and word in flags and not flags[word].switch
    return None


def listed(commands: Iterable[Command], prog: str) -> str:
    """Return the help of several commands, one line each."""
    lines = [(each.name, each.text) for each in commands]
    width = max(len(name) for name, _ in lines) + 2
    table = "".join(f"  {name:{width}}{text}\n" for name, text in lines)
    return f"usage: {prog} COMMAND [settings]\n\n{table}\n{prog} COMMAND --help shows the settings of a command.\n"


def exit_code_of(work: Callable[[], int], error_prefix: str = "") -> int:
    """Run something and return its exit code; expected errors are one line instead of a traceback."""
    try:
        return work()
    except Misconfigured as exc:
        return _failed(exc, error_prefix, EXIT_MISCONFIGURED)
    except Unavailable as exc:
        return _failed(exc, error_prefix, EXIT_UNAVAILABLE)
    except KeyboardInterrupt:
        return _failed("interrupted", error_prefix, EXIT_INTERRUPTED)


def _failed(why: object, error_prefix: str, code: int) -> int:
    sys.stderr.write("".join(f"{error_prefix}{line}\n" for line in str(why).splitlines()))
    return code


def foreign_lines(command: Command, words: Sequence[str]) -> Iterator[str]:
    """Yield a line for each unknown word, naming the commands that know it."""
    called = command.called or f"neardup {command.name}"
    known = {each.name: flags_of(each.settings_class) for each in COMMANDS}
    everywhere: dict[str, Option] = {flag: option for flags in known.values() for flag, option in flags.items()}
    for word in unknown_words(words, everywhere):
        if not word.startswith("-"):
            yield f"{word!r}: {called} takes no such argument"
        elif word in everywhere:
            yield f"{word} is not a setting of {called}; {_who_has(word, known)}"
        else:
            yield no_such_flag(word, known[command.name])


def _who_has(flag: str, known: Mapping[str, Mapping[str, Option]]) -> str:
    names = list(named(each for each in COMMANDS if flag in known[each.name]))
    return f"{names[0]} has it" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} have it"
