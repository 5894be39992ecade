"""Claim checks through the real consumer, on a real Kafka and a real Redis, from a real https host."""

import json
import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.https_hosts import Answer, https_host
from tests.support.processes import eventually, photo
from tests.support.stage import Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis]

_JSON = [("content-type", b"application/json")]


@pytest.fixture
def stage(kafka_address: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    index = f"uris-{secrets.token_hex(4)}"
    bootstrap(seed_folder(tmp_path / "seeds"), redis_url, index)
    stage = Stage(kafka_address, redis_url, index, 1)
    with closing(stage.stack):
        yield stage


def test_images_by_uri_have_verdicts_refusals_dead_letters_and_an_outage_is_waited_for(
    stage: Stage, tmp_path: Path
) -> None:
    authority, away = Authority(tmp_path), [False]
    image = photo(fresh())

    def serve(answer: Answer) -> None:
        if away[0]:
            answer.reply(b"", 503)
        else:
            answer.reply(image, Content_Type="text/plain")

    with https_host(tmp_path, authority, "127.0.0.1") as host:
        host.pages |= {
            "/a/new": serve,
            "/a/again": serve,
            "/a/late": serve,
            "/a/off": lambda answer: answer.reply(b"", 302, Location="/b/secret"),
            "/b/secret": serve,
            "/a/text": lambda answer: answer.reply(b"<html>", Content_Type="image/jpeg"),
        }

        def ask(uri: str) -> str:
            return stage.publish(json.dumps({"uri": uri}).encode(), headers=_JSON)

        verdicts = {ask(f"{host.url}/a/new?token=hunter2"): "unique", ask(f"{host.url}/a/again"): "duplicate"}
        letters = {
            ask(f"{host.url}/b/secret?token=hunter2"): "uri-not-allowed",
            ask(f"{host.url}/a/off"): "uri-not-allowed",
            ask("https://169.254.169.254/latest"): "uri-address-not-allowed",
            ask(f"{host.url}/a/missing"): "uri-unreadable",
            ask(f"{host.url}/a/text"): "undecodable",
        }
        stage.flush()
        allow = (
            "--allow-uri",
            f"{host.url}/a/",
            "--allow-uri",
            "https://169.254.169.254/",
            "--allow-private-addresses",
        )
        with stage.service(*allow, "--uri-ca-file", str(authority.file)) as service:
            stage.await_outcomes()
            away[0] = True
            verdicts[ask(f"{host.url}/a/late")] = "duplicate"
            stage.flush()
            eventually(lambda: service.metrics()["neardup_store_errors_total", ()] >= 2, "two attempts")
            assert service.status("/readyz") == (503, "store is away")
            away[0] = False
            stage.await_outcomes()
            eventually(service.is_ready, "ready again")
            samples = service.metrics()
            assert service.program.stop() == 0
        log = "".join(service.program.lines)
    assert samples["neardup_retries_total", (("operation", "describe"),)] >= 2
    assert {place: document["verdict"] for place, document in stage.documents().items()} == verdicts
    found = {
        dict(letter.headers)["error.source"].decode(): dict(letter.headers) for letter in stage.dead_reader.records
    }
    assert {place: headers["error.reason"].decode() for place, headers in found.items()} == letters
    assert "hunter2" not in log
    assert not any(b"hunter2" in headers["error.detail"] for headers in found.values())
    assert not any(host.url.partition("//")[2] in str(name) for name in samples)
    assert "/b/secret" not in [path for path, _ in host.requests]
