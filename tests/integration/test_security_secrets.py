"""Passwords do not show, whatever goes wrong: the commands, and all that they write."""

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

import bootstrap.__main__
import bootstrap.calibrate
import bootstrap.index
import consumer.__main__
import consumer.feed
from neardup.errors import Misconfigured
from neardup.index.stored.connection import connect
from tests.support.certificates import Authority
from tests.support.processes import get, running

MARKER = "mArKeR5ecret"
NOBODY = "127.0.0.1:1"
"""An address at which nobody listens."""
SASL = {
    "NEARDUP_BOOTSTRAP_SERVERS": NOBODY,
    "NEARDUP_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
    "NEARDUP_SASL_MECHANISM": "PLAIN",
    "NEARDUP_SASL_USERNAME": "camera",
}
Command = tuple[Callable[[Sequence[str], Mapping[str, str]], int], Sequence[str]]
BOOTSTRAP: Command = (bootstrap.__main__.main, ["SEEDS"])
INDEX: Command = (bootstrap.index.main, ["stats"])
REPAIR: Command = (bootstrap.index.main, ["repair", "--what"])
CALIBRATE: Command = (bootstrap.calibrate.main, [])
FEED: Command = (consumer.feed.main, ["SEEDS"])
CONSUMER: Command = (consumer.__main__.main, [])
HELP: Command = (consumer.__main__.main, ["--help"])

FAILURES: dict[str, tuple[Command, Mapping[str, str]]] = {
    "no Redis": (INDEX, {"NEARDUP_REDIS_URL": f"redis://camera:{MARKER}@{NOBODY}"}),
    "no Redis, password apart": (
        CALIBRATE,
        {"NEARDUP_REDIS_URL": f"redis://camera@{NOBODY}", "NEARDUP_REDIS_PASSWORD": MARKER},
    ),
    "password not encoded": (BOOTSTRAP, {"NEARDUP_REDIS_URL": f"redis://camera:1/{MARKER}@{NOBODY}"}),
    "password for a port": (INDEX, {"NEARDUP_REDIS_URL": f"redis://camera:{MARKER}"}),
    "password in the query": (INDEX, {"NEARDUP_REDIS_URL": f"redis://{NOBODY}?password={MARKER}&db=many"}),
    "another scheme": (BOOTSTRAP, {"NEARDUP_REDIS_URL": f"http://camera:{MARKER}@{NOBODY}"}),
    "two passwords": (
        INDEX,
        {"NEARDUP_REDIS_URL": f"redis://:{MARKER}@{NOBODY}", "NEARDUP_REDIS_PASSWORD": f"{MARKER}2"},
    ),
    "value and file": (
        CONSUMER,
        {"NEARDUP_REDIS_URL": f"redis://:{MARKER}@{NOBODY}", "NEARDUP_REDIS_URL_FILE": "FILE"},
    ),
    "file of two lines": (FEED, {**SASL, "NEARDUP_SASL_PASSWORD_FILE": "TWO LINES"}),
    "file that is no text": (CONSUMER, {"NEARDUP_SSL_KEY_PASSWORD_FILE": "NO TEXT"}),
    "other settings wrong": (
        CONSUMER,
        {"NEARDUP_REDIS_PASSWORD_FILE": "FILE", "NEARDUP_SASL_PASSWORD": MARKER, "NEARDUP_BATCH_SIZE": "many"},
    ),
    "password of a key": (
        FEED,
        {
            "NEARDUP_SECURITY_PROTOCOL": "SSL",
            "NEARDUP_SSL_CERTFILE": "CERTIFICATE",
            "NEARDUP_SSL_KEYFILE": "KEY",
            "NEARDUP_SSL_KEY_PASSWORD": MARKER,
        },
    ),
    "contradictory": (FEED, {**SASL, "NEARDUP_SASL_MECHANISM": "", "NEARDUP_SASL_PASSWORD": MARKER}),
    "help": (HELP, {**SASL, "NEARDUP_SASL_PASSWORD": MARKER, "NEARDUP_REDIS_PASSWORD": MARKER}),
    "unknown flag": (REPAIR, {"NEARDUP_REDIS_PASSWORD": MARKER}),
}


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("places")
    contents = {"FILE": MARKER, "TWO LINES": f"user\n{MARKER}\n", "NO TEXT": f"{MARKER}\udcff", "SEEDS": "no image"}
    for name, content in contents.items():
        (folder / name).write_text(content, "utf-8", "surrogateescape")
    own = Authority(folder).issue("camera", password=b"another")
    files = {name: str(folder / name) for name in contents}
    return {**files, "CERTIFICATE": str(own.certificate), "KEY": str(own.key)}


@pytest.mark.parametrize("name", FAILURES)
def test_no_failure_shows_a_password(
    name: str, places: Mapping[str, str], capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (main, words), environ = FAILURES[name]
    try:
        code: object = main(
            [places.get(word, word) for word in words],
            {variable: places.get(value, value) for variable, value in environ.items()},
        )
    except SystemExit as ended:  # argparse's own way
        code = ended.code
    assert code == (0 if name == "help" else 1 if name.startswith("no Redis") else 2)
    captured = capsys.readouterr()
    said = captured.out + captured.err + caplog.text
    assert said
    assert MARKER not in said


@pytest.mark.slow
def test_a_service_that_waits_for_its_servers_shows_no_password() -> None:
    environ = {
        **SASL,
        "NEARDUP_SASL_PASSWORD": MARKER,
        "NEARDUP_REDIS_URL": f"redis://camera:{MARKER}@{NOBODY}",
        "NEARDUP_METRICS_PORT": "0",
        "NEARDUP_LOG_LEVEL": "DEBUG",
    }
    with running(["-m", "consumer"], environ) as program:
        url = json.loads(program.await_line("serving /metrics"))["message"].rpartition(" ")[2]
        program.await_line("Redis does not answer")
        shown = "".join(get(f"{url}{path}")[1] for path in ("/metrics", "/healthz", "/readyz", f"/{MARKER}"))
        program.stop()
    assert "redis is away" in shown
    assert MARKER not in "".join(program.lines) + shown


@pytest.mark.parametrize(
    "url", [f"redis://camera:{MARKER}@{NOBODY}:port", f"redis://camera:{MARKER}", f"redis://camera:1/{MARKER}@{NOBODY}"]
)
def test_a_traceback_shows_no_password(url: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        connect(url)
    assert MARKER not in "".join(traceback.format_exception(caught.value))


def test_the_files_of_a_test_are_read_as_they_are_meant(places: Mapping[str, str]) -> None:
    assert MARKER in Path(places["TWO LINES"]).read_text("utf-8")
    assert Path(places["NO TEXT"]).read_bytes().endswith(b"\xff")
