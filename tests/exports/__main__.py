"""Exports a run in folder mode in every format, and has each tool's own package import it: ``make check-exports``."""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.services.process import HOST, free_port
from tests.support.processes import environment, eventually, photo, run

STARTS_WITHIN_S = 180.0
PHOTOS, COPIES = 12, 5
FILES = {
    "csv": "all.csv",
    "jsonl": "all.jsonl",
    "parquet": "all.parquet",
    "coco": "all.coco.json",
    "labelstudio": "all.labelstudio.json",
    "cvat": "all.cvat.xml",
    "fiftyone": "all.fiftyone",
}


def make_run(folder: Path) -> Path:
    """Judge a folder with names that people have, and return its file of verdicts."""
    pictures = folder / "pictures"
    (pictures / "holiday 2026").mkdir(parents=True)
    for number in range(PHOTOS):
        (pictures / f"holiday 2026/photo {number:02} & more.jpg").write_bytes(photo(number))
    for number in range(COPIES):
        (pictures / f"kopie-{number:02}-ä.jpg").write_bytes(photo(number, 60))
    verdicts = folder / "verdicts.jsonl"
    ended = run(["-m", "neardup", "folder", str(pictures), "--output", str(verdicts)])
    assert ended.returncode == 0, ended.stderr
    return verdicts


def export_all(verdicts: Path) -> None:
    """Export in every format, beside the verdicts."""
    for form, name in FILES.items():
        output = str(verdicts.with_name(name))
        ended = run(["-m", "neardup", "export", str(verdicts), "--format", form, "--which", "all", "--output", output])
        assert ended.returncode == 0, ended.stderr


@contextmanager
def database(packages: Path, folder: Path) -> Iterator[str]:
    """Run the MongoDB of the environment, and give its URI: FiftyOne waits for one that it starts only briefly."""
    folder.mkdir()
    port = free_port()
    (program,) = packages.glob("lib/python*/site-packages/fiftyone/db/bin/mongod")
    command = [str(program), "--dbpath", str(folder), "--port", str(port), "--bind_ip", HOST, "--quiet"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: _answers(port), "MongoDB answers", STARTS_WITHIN_S)
        yield f"mongodb://{HOST}:{port}"
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex((HOST, port)) == 0


def main(python: str) -> int:
    """Return the exit code of the importers."""
    # A link to Python is the environment: where it leads is none.
    program = Path(python).absolute()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        export_all(make_run(folder))
        with database(program.parents[1], folder / "database") as uri:
            environ = {**environment(), "FIFTYONE_DATABASE_URI": uri, "FIFTYONE_DO_NOT_TRACK": "true"}
            script = Path(__file__).with_name("imports.py")
            return subprocess.run([program, script, folder], env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
