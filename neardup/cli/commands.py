"""Every command: its name, help text, settings and function. To add one, add an entry here."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """One command; its parts are named as ``module:name``, and imported when needed.

    Attributes
    ----------
    name
        As on the command line; tools of one family share the first word.
    text
        One line of help.
    settings
        Its settings dataclass.
    function
        Takes the settings and returns the exit code.
    called
        What messages call it, if not by its name.
    error_prefix
        Prefix of its error messages.
    """

    name: str
    text: str
    settings: str
    function: str
    called: str = ""
    error_prefix: str = ""

    @property
    def settings_class(self) -> type[Any]:
        """The settings dataclass."""
        found: type[Any] = _imported(self.settings)
        return found

    @property
    def run(self) -> Callable[[Any], int]:
        """The function."""
        found: Callable[[Any], int] = _imported(self.function)
        return found


def _imported(name: str) -> Any:  # noqa: ANN401 - a class or a function
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


_INDEX = "bootstrap.index_settings"
COMMANDS = (
    Command(
        "consume",
        "judge the images of a Kafka topic: unique or duplicate",
        "consumer.settings:ServiceSettings",
        "consumer.running:consume",
        called="the service",
        error_prefix="consumer: ",
    ),
    Command(
        "serve",
        "answer over HTTP what an image is near to, and judge it",
        "consumer.serve.settings:ServeSettings",
        "consumer.running:answer",
        called="the look-up service",
        error_prefix="serve: ",
    ),
    Command(
        "folder",
        "judge a folder of images, with no server or with an index in Redis",
        "consumer.folder.settings:FolderSettings",
        "consumer.running:judge",
        called="folder mode",
        error_prefix="folder: ",
    ),
    Command(
        "report",
        "write a page that shows the duplicates of a folder run, of a bootstrap or of a span of the verdict topic",
        "consumer.report.settings:ReportSettings",
        "consumer.report.command:report",
    ),
    Command(
        "undo",
        "put back what neardup folder --apply moved or linked",
        "consumer.folder.settings:UndoSettings",
        "consumer.running:undo",
    ),
    Command(
        "feed",
        "publish images, folders and video clips to Kafka",
        "consumer.feeding.settings:FeedSettings",
        "consumer.feed:feed",
        error_prefix="feed: ",
    ),
    Command(
        "backfill",
        "publish archives to Kafka as claim checks: folders, buckets, manifests, tar shards",
        "consumer.backfill.settings:BackfillSettings",
        "consumer.backfill.command:backfill",
        error_prefix="backfill: ",
    ),
    Command(
        "watch",
        "show verdicts as they come, on the terminal or on a web page; disturbs no consumer",
        "consumer.watch.settings:WatchSettings",
        "consumer.watch.running:watch",
        error_prefix="watch: ",
    ),
    Command(
        "export",
        "write verdicts as a table or for a labelling tool",
        "consumer.export.settings:ExportSettings",
        "consumer.running:export",
    ),
    Command(
        "bootstrap",
        "describe, compare and cluster a seed set, and store it in Redis as a new generation of an index",
        "bootstrap.settings:Settings",
        "bootstrap.__main__:bootstrap",
    ),
    Command(
        "calibrate",
        "report which radius would fit a live index now and what would change; changes nothing",
        "bootstrap.calibrate_settings:CalibrateSettings",
        "bootstrap.calibrate:calibrate",
    ),
    Command(
        "index stats", "sizes, radius and memory of a live index", f"{_INDEX}:StatsSettings", "bootstrap.index:stats"
    ),
    Command(
        "index wait",
        "wait until there is a live index, such as while a bootstrap makes it",
        f"{_INDEX}:WaitSettings",
        "bootstrap.index_wait:wait",
    ),
    Command("index show", "a member, by image id or key", f"{_INDEX}:ShowSettings", "bootstrap.index:show"),
    Command(
        "index neighbours",
        "the verdict that an image file would get, and the members nearest to it",
        f"{_INDEX}:NeighboursSettings",
        "bootstrap.index:neighbours",
    ),
    Command(
        "index duplicates",
        "what a live index knows of the duplicates of a member",
        f"{_INDEX}:ShowSettings",
        "bootstrap.members:duplicates",
    ),
    Command(
        "index explain",
        "whether one image is a duplicate of another by a live index, and why",
        f"{_INDEX}:ExplainSettings",
        "bootstrap.members:explain",
    ),
    Command(
        "index verify",
        "check that a live index is consistent",
        f"{_INDEX}:VerifySettings",
        "bootstrap.index:verify",
    ),
    Command(
        "index repair",
        "restore from the verdict topic what Redis lost",
        f"{_INDEX}:RepairSettings",
        "bootstrap.index:repair",
    ),
    Command(
        "index remove",
        "take members out of a live index for good",
        f"{_INDEX}:RemoveSettings",
        "bootstrap.members:remove",
    ),
    Command(
        "index set-radius",
        "give a live index another radius, as a new generation",
        f"{_INDEX}:SetRadiusSettings",
        "bootstrap.members:set_radius",
    ),
    Command(
        "index rebuild",
        "judge what is in the descriptor topic again, as a new generation of a live index",
        f"{_INDEX}:RebuildSettings",
        "bootstrap.members:rebuild",
    ),
    Command(
        "index export",
        "write a live index to a file that bootstrap --import reads",
        f"{_INDEX}:ExportSettings",
        "bootstrap.members:export",
    ),
    Command(
        "index copy-to",
        "copy a live index to another Redis, or to another name",
        f"{_INDEX}:CopySettings",
        "bootstrap.members:copy_to",
    ),
    Command(
        "index rollback",
        "make the generation live again that was live before the last bootstrap",
        f"{_INDEX}:RollbackSettings",
        "bootstrap.going_back:rollback",
    ),
    Command(
        "index release",
        "remove the generation that is kept for a rollback",
        f"{_INDEX}:StatsSettings",
        "bootstrap.going_back:release",
    ),
    Command(
        "completion",
        "print a script for shell completion of commands and flags",
        "neardup.cli.completion:CompletionSettings",
        "neardup.cli.completion:completion",
    ),
)


def command(name: str) -> Command:
    """Return the command of this name."""
    return next(each for each in COMMANDS if each.name == name)


def family(word: str) -> list[Command]:
    """Return the tools that share this first word; none if it is a single command or unknown."""
    return [each for each in COMMANDS if each.name.startswith(f"{word} ")]


def named(commands: Iterable[Command]) -> Iterator[str]:
    """Yield what messages call these commands; a complete family by its first word."""
    names = [each.name for each in commands]
    for name in names:
        first = name.partition(" ")[0]
        whole = family(first)
        if not whole or not all(each.name in names for each in whole):
            called = command(name).called
            yield f"{called} (neardup {name})" if called else f"neardup {name}"
        elif name == whole[0].name:
            yield f"neardup {first}"
