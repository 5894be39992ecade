"""``python -m consumer``: the service; with ``--input``, a folder judged without any server.

Exit codes: 0 done or stopped on request, 1 a server stayed away beyond the time to shut down, 2 wrong settings or an
index that does not fit, 3 an error that nobody foresaw, 130 told twice
to stop by SIGINT, 143 by SIGTERM.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence

from consumer.settings import Settings, profile_defaults
from neardup.errors import Misconfigured
from neardup.settings.options import read_settings


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the service; return the exit code."""
    try:
        settings = read_settings(
            Settings,
            arguments,
            environ,
            prog="python -m consumer",
            description="Judge images: unique or duplicate.",
            defaults=profile_defaults,
        )
    except Misconfigured as error:
        return _fail(error)
    from consumer.journal import configure_logging  # noqa: PLC0415 - --help must not wait for numpy and kafka
    from consumer.loop import ShutdownTimeout  # noqa: PLC0415 - as above

    configure_logging(settings.log_level)
    try:
        _run(settings)
    except Misconfigured as error:
        return _fail(error)
    except ShutdownTimeout as error:
        sys.stderr.write(f"consumer: {error}\n")
        return 1
    except Exception as error:
        # A defect, ours or a library's: where it is stands in the log, and the last line is for whoever looks first.
        logging.getLogger(__name__).exception("an error that nobody foresaw")
        sys.stderr.write(
            f"consumer: an error that nobody foresaw, {type(error).__name__}: {error}; what was not committed will be "
            "delivered again\n"
        )
        return 3
    return 0


def _run(settings: Settings) -> None:
    if settings.input is not None:
        from consumer.folder import judge_folder  # noqa: PLC0415 - as above

        judge_folder(settings)
    else:
        from consumer.service import serve  # noqa: PLC0415 - as above

        serve(settings)


def _fail(error: Misconfigured) -> int:
    for line in str(error).splitlines():
        sys.stderr.write(f"consumer: {line}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
