"""Runs the service, alone or as several workers, the look-up service, folder mode, and exports."""

from consumer.ending import FOLDER, SERVE, logged
from consumer.export.settings import ExportSettings
from consumer.folder.settings import FolderSettings, UndoSettings
from consumer.serve.settings import ServeSettings
from consumer.settings import ServiceSettings
from neardup.errors import Misconfigured


def consume(settings: ServiceSettings) -> int:
    """Run the service, or several workers of it; return the exit code."""
    from consumer.workers.shares import shares_of  # noqa: PLC0415 - --help must not wait for numpy and kafka

    shares = shares_of(settings)
    if len(shares) > 1:
        from consumer.workers.parent import supervise  # noqa: PLC0415 - as above

        return logged(lambda: supervise(settings, shares), settings.log_level)
    from consumer.service import serve  # noqa: PLC0415 - as above

    return logged(lambda: serve(settings), settings.log_level)


def answer(settings: ServeSettings) -> int:
    """Run the look-up service; return the exit code."""
    from importlib.util import find_spec  # noqa: PLC0415 - as above

    if find_spec("aiohttp") is None:
        raise Misconfigured("aiohttp is not installed; install neardup with its extra: neardup[serve]")
    from consumer.serve.service import serve  # noqa: PLC0415 - as above

    return logged(lambda: serve(settings), settings.log_level, name=SERVE)


def judge(settings: FolderSettings) -> int:
    """Run folder mode; return the exit code."""
    from consumer.folder.judge import judge_folder  # noqa: PLC0415 - as above

    return logged(lambda: judge_folder(settings), settings.log_level, name=FOLDER)


def undo(settings: UndoSettings) -> int:
    """Undo what folder mode did; return the exit code."""
    from consumer.folder.tidying import undo_file  # noqa: PLC0415 - as above

    return undo_file(settings)


def export(settings: ExportSettings) -> int:
    """Export verdicts; return the exit code."""
    from consumer.export.command import export_verdicts  # noqa: PLC0415 - as above

    return export_verdicts(settings)
