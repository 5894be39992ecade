"""Runs the service, alone or as several workers, and folder mode."""

from consumer.ending import logged
from consumer.folder.settings import FolderSettings, UndoSettings
from consumer.settings import ServiceSettings


def consume(settings: ServiceSettings) -> int:
    """Run the service, or several workers of it; return the exit code."""
    from consumer.workers.shares import shares_of  # noqa: PLC0415 - --help must not wait for numpy and kafka

    shares = shares_of(settings)
    if len(shares) > 1:
        from consumer.workers.parent import supervise  # noqa: PLC0415 - as above

        return logged(lambda: supervise(settings, shares), settings.log_level)
    from consumer.service import serve  # noqa: PLC0415 - as above

    return logged(lambda: serve(settings), settings.log_level)


def judge(settings: FolderSettings) -> int:
    """Run folder mode; return the exit code."""
    from consumer.folder.judge import judge_folder  # noqa: PLC0415 - as above

    return logged(lambda: judge_folder(settings), settings.log_level)


def undo(settings: UndoSettings) -> int:
    """Undo what folder mode did; return the exit code."""
    from consumer.folder.tidying import undo_file  # noqa: PLC0415 - as above

    return undo_file(settings)
