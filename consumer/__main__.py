"""``python -m consumer``: the service, ``neardup consume``; with ``--input``, folder mode, ``neardup folder``.

Exit codes: 0 done or stopped on request, 1 a server was still away when the shutdown timeout ran out, 2 wrong settings
or an index that does not fit, 3 an unexpected error, or a worker was killed while it finished, 130 a second SIGINT,
143 a second SIGTERM.
"""

import os
import sys
from collections.abc import Mapping, Sequence

from neardup.cli.commands import command
from neardup.cli.running import run_command


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the service, or folder mode if there is an input; return the exit code."""
    if not (_given("--input", arguments) or environ.get("NEARDUP_INPUT")):
        return run_command(command("consume"), arguments, environ, "python -m consumer")
    if not (_given("--index", arguments) or environ.get("NEARDUP_INDEX")):
        arguments = [*arguments, "--index", "default"]  # the default here; that of `neardup folder` is memory
    return run_command(command("folder"), arguments, environ, "python -m consumer")


def _given(flag: str, arguments: Sequence[str]) -> bool:
    return any(word.partition("=")[0] == flag for word in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
