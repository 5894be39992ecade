"""Every command: its name, its line of help, its settings, and the function that does it. A new one is a line here."""

import importlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Command:
    """One command; what it needs is named in text, ``module:name``, and imported when it is asked for.

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
        What people call it, where that is not its name.
    says
        Begins each line that it says about errors.
    """

    name: str
    text: str
    settings: str
    function: str
    called: str = ""
    says: str = ""

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
        says="consumer: ",
    ),
    Command(
        "folder",
        "judge a folder of images, without any server; or by an index in Redis",
        "consumer.settings:FolderSettings",
        "consumer.running:judge",
        called="folder mode",
        says="consumer: ",
    ),
    Command(
        "feed",
        "publish images, folders and video clips to Kafka",
        "consumer.settings:FeedSettings",
        "consumer.feed:feed",
        says="feed: ",
    ),
    Command(
        "bootstrap",
        "describe, cluster and compare a seed set, and store it in Redis as a new generation of an index",
        "bootstrap.settings:Settings",
        "bootstrap.__main__:bootstrap",
    ),
    Command(
        "calibrate",
        "say what radius would fit a live index by now, and what would change; change nothing",
        "bootstrap.calibrate_settings:CalibrateSettings",
        "bootstrap.calibrate:calibrate",
    ),
    Command(
        "index stats", "sizes, radius and memory of a live index", f"{_INDEX}:StatsSettings", "bootstrap.index:stats"
    ),
    Command("index show", "a member, by image id or key", f"{_INDEX}:ShowSettings", "bootstrap.index:show"),
    Command(
        "index neighbours",
        "what an image file would be, and the members next to it",
        f"{_INDEX}:NeighboursSettings",
        "bootstrap.index:neighbours",
    ),
    Command(
        "index verify",
        "check that a live index holds what it promises",
        f"{_INDEX}:VerifySettings",
        "bootstrap.index:verify",
    ),
    Command(
        "index repair",
        "put back from the verdict topic what Redis lost",
        f"{_INDEX}:RepairSettings",
        "bootstrap.index:repair",
    ),
    Command(
        "completion",
        "print what makes a shell complete commands and flags",
        "neardup.cli.completion:CompletionSettings",
        "neardup.cli.completion:completion",
    ),
)


def command(name: str) -> Command:
    """Return the command of this name."""
    return next(each for each in COMMANDS if each.name == name)


def family(word: str) -> list[Command]:
    """Return the tools that share this first word; none when it is a command by itself, or unknown."""
    return [each for each in COMMANDS if each.name.startswith(f"{word} ")]


def named(commands: Iterable[Command]) -> Iterator[str]:
    """Iterate over what people call these commands; a family that is whole by its first word."""
    names = [each.name for each in commands]
    for name in names:
        first = name.partition(" ")[0]
        whole = family(first)
        if not whole or not all(each.name in names for each in whole):
            called = command(name).called
            yield f"{called} (neardup {name})" if called else f"neardup {name}"
        elif name == whole[0].name:
            yield f"neardup {first}"
