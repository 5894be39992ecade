"""The command line ``neardup``: finds the command and runs it.

Exit codes: those of the command; 0 after a list of commands or the version, 2 when there is no such command.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from neardup import __version__
from neardup.cli.commands import COMMANDS, command, family
from neardup.cli.running import EXIT_MISCONFIGURED, listed, run_command, run_member
from neardup.settings.command_line import did_you_mean

PROG = "neardup"
_HELP = {"-h", "--help", "--help-all"}


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run the command that the arguments name; return the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    environ = os.environ if environ is None else environ
    word, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if word in _HELP:
        sys.stdout.write(listed(COMMANDS, PROG))
        return 0
    if word == "--version":
        sys.stdout.write(f"{PROG} {__version__}\n")
        return 0
    if tools := family(word):
        return run_member(tools, rest, environ, f"{PROG} {word}")
    names = [each.name for each in COMMANDS]
    if word in names:
        return run_command(command(word), rest, environ)
    words = [*(name.partition(" ")[0] for name in names), "--help", "--version"]
    sys.stderr.write(f"{PROG}: there is no command {word!r}{did_you_mean(word, words)}\n")
    return EXIT_MISCONFIGURED
