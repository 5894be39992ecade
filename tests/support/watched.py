"""A stream that is watched: topics, a consumer that runs, and the live view beside it."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.processes import Program, photo, running
from tests.support.stage import Stage, fresh


def arguments(stage: Stage, *more: str) -> list[str]:
    """Return the command line of a live view."""
    return [
        *("-m", "neardup", "watch", "--bootstrap-servers", stage.address, "--topic", stage.images),
        *("--verdicts", stage.verdicts, "--dead-letters", stage.dead, "--group", stage.group, *more),
    ]


@contextmanager
def lines(stage: Stage, *more: str) -> Iterator[Program]:
    """Run the view whose lines are read."""
    with running(arguments(stage, *more), with_output=True) as program:
        yield program


@contextmanager
def page(stage: Stage, *more: str) -> Iterator[tuple[Program, str]]:
    """Run the view as a page, and give the address of it."""
    with running(arguments(stage, "--page", "127.0.0.1:0", *more)) as program:
        line = program.await_line("the page is on ")
        yield program, line.split("the page is on ")[1].split(";")[0]


def events(address: str) -> Iterator[dict[str, Any]]:
    """Iterate over what the page is told."""
    with urllib.request.urlopen(f"{address}events", timeout=60) as answer:  # noqa: S310 - our own http:// address
        for line in answer:
            if line.startswith(b"data: "):
                yield json.loads(line[6:])


def publish_pair(stage: Stage, name: str) -> tuple[str, str]:
    """Publish an image and a copy of it; return what they are called."""
    number = fresh()
    first, copy = f"{name}.jpg", f"{name}-copy.jpg"
    stage.publish(photo(number, size=(320, 240)), headers=[("image_id", first.encode())])
    stage.publish(photo(number, quality=60, size=(320, 240)), headers=[("image_id", copy.encode())])
    stage.flush()
    return first, copy
