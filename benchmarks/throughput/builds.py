"""A build to measure: this checkout, or a commit of it unpacked beside; each runs with its own files alone."""

import os
import subprocess
import sys
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
_INSIDE = Path(__file__).with_name("inside.py")


@dataclass(frozen=True, slots=True)
class Build:
    """One state of the code.

    Attributes
    ----------
    name
        ``this`` or the commit.
    folder
        Its files.
    """

    name: str
    folder: Path

    def environment(self) -> dict[str, str]:
        """Return this environment with the build's files first, and of our settings the one that decodes each image.

        Some runs show the same large files several times, to builds of which some would recognise them.
        """
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NEARDUP_")}
        return {**inherited, "PYTHONPATH": str(self.folder), "PYTHONUNBUFFERED": "1", "NEARDUP_REPEAT_BYTES": "0"}

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the command line of a module of the build."""
        return [sys.executable, "-m", module, *arguments]

    def watched(self, notes: Path, ports: Mapping[str, int], *arguments: str) -> list[str]:
        """Return the command line of its consumer with `inside.py` around it, which writes to `notes`."""
        named = ",".join(f"{name}={port}" for name, port in ports.items())
        return [sys.executable, "-P", str(_INSIDE), str(notes), named, *arguments]

    def start(self, command: Sequence[str], log: Path, without: Container[str] = ()) -> "subprocess.Popen[bytes]":
        """Start a command in the build's folder, without some of its settings; what it says goes to the log."""
        with log.open("ab") as into:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                env={name: value for name, value in self.environment().items() if name not in without},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=into,
            )

    def run(self, *command: str) -> None:
        """Run a command of the build to its end, or end with what it said."""
        done = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            sys.exit(f"{self.name}: {' '.join(command[2:4])} ended with {done.returncode}:\n{done.stderr[-2000:]}")


THIS = Build("this", ROOT)


@contextmanager
def unpacked(commit: str) -> Iterator[Build]:
    """Give the build of a commit, unpacked into a folder that lasts as long."""
    named = subprocess.run(
        ["git", "rev-parse", "--short", f"{commit}^{{commit}}"],  # noqa: S607 - whoever measures commits has git
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if named.returncode != 0:
        sys.exit(f"there is no commit {commit} here: {named.stderr.strip()}")
    with TemporaryDirectory(prefix="neardup-build-") as folder:
        # Not a worktree of git, which would leave its mark in the repository.
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S607
        subprocess.run(["tar", "-x", "-C", folder], input=packed.stdout, check=True)  # noqa: S607
        yield Build(named.stdout.strip(), Path(folder))
