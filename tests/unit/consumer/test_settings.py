"""What the service can be told, and by whom."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from consumer.backfill.settings import BackfillSettings
from consumer.export.settings import ExportSettings
from consumer.feeding.settings import FeedSettings
from consumer.folder.settings import FolderSettings
from consumer.report.settings import ReportSettings
from consumer.settings import VERDICT_HEADERS, KafkaSettings, ServiceSettings
from consumer.watch.settings import WatchSettings
from neardup.errors import Misconfigured
from neardup.settings.kafka import KafkaConnection
from neardup.settings.options import options_of
from neardup.settings.reading import read_settings
from neardup.wire import MEMBER_HEADER, VERDICT_HEADER
from tests.support.certificates import Authority


def read(arguments: Sequence[str] = (), environ: Mapping[str, str] | None = None) -> ServiceSettings:
    settings: ServiceSettings = read_settings(
        ServiceSettings, arguments, environ or {}, prog="consumer", description=""
    )
    return settings


def test_a_flag_comes_before_the_environment_and_that_before_the_default() -> None:
    assert read().topic == "images"
    assert read(environ={"NEARDUP_TOPIC": "pictures"}).topic == "pictures"
    assert read(["--topic", "photos"], {"NEARDUP_TOPIC": "pictures"}).topic == "photos"


def test_an_empty_variable_is_none() -> None:
    assert read(environ={"NEARDUP_TOPIC": "", "NEARDUP_BATCH_SIZE": ""}) == read()


@pytest.mark.parametrize("settings", [ServiceSettings, FolderSettings, FeedSettings])
def test_every_setting_has_its_own_flag_and_variable(settings: type[Any]) -> None:
    declared = dict(options_of(settings))
    assert set(declared) == {field.name for field in fields(settings)}
    for kind in ("flag", "env"):
        names = [getattr(option, kind) for option in declared.values() if getattr(option, kind)]
        assert len(names) == len(set(names))
    assert all(option.env.startswith("NEARDUP_") for option in declared.values() if option.flag.startswith("--"))


def test_the_defaults_that_a_newcomer_relies_on() -> None:
    settings = read()
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert (settings.verdicts_topic, settings.dead_letters_topic, settings.group) == (
        "verdicts",
        "images.dead",
        "neardup",
    )
    assert (settings.redis_url, settings.index) == ("redis://127.0.0.1:6379/0", "default")
    assert (settings.metrics_host, settings.metrics_port) == ("127.0.0.1", 9108)
    assert (settings.descriptor, settings.allow_uri) == (None, ())
    folder = read_settings(FolderSettings, ["photos"], {}, prog="folder", description="")
    assert (folder.radius, folder.descriptor, folder.input, folder.index) == (None, None, "photos", "memory")


def test_unique_images_go_nowhere_unless_told_and_to_a_topic_of_their_own() -> None:
    read().check()
    assert read().unique_topic is None
    assert read(environ={"NEARDUP_UNIQUE_TOPIC": "uniques"}).unique_topic == "uniques"
    read(["--unique-topic", "uniques"]).check()
    for taken, flag in {"images": "images", "verdicts": "verdicts", "images.dead": "dead-letters"}.items():
        with pytest.raises(Misconfigured, match=rf"^--unique-topic {taken}: it is also --{flag}-topic; "):
            read(["--unique-topic", taken]).check()


def test_headers_to_pass_on_are_named_together_and_none_is_the_verdicts_own() -> None:
    assert read(["--pass-headers", "camera, site"]).pass_headers == ("camera", "site")
    assert read(environ={"NEARDUP_PASS_HEADERS": "camera,site"}).pass_headers == ("camera", "site")
    assert (read().pass_headers, read(["--pass-headers", ""]).pass_headers) == ((), ())
    assert {*VERDICT_HEADERS} == {VERDICT_HEADER, MEMBER_HEADER}
    for name in VERDICT_HEADERS:
        with pytest.raises(Misconfigured, match="other than verdict and member"):
            read(["--pass-headers", f"camera,{name}"])


def test_values_are_parsed() -> None:
    settings = read(
        ["--batch-size", "7", "--poll-timeout-s", "0.25", "--allow-uri", "file:///a"],
        {"NEARDUP_ALLOW_URI": "file:///b,file:///c", "NEARDUP_METRICS_PORT": "0"},
    )
    assert (settings.batch_size, settings.poll_timeout_s) == (7, 0.25)
    assert (settings.allow_uri, settings.metrics_port) == (("file:///a",), 0)
    assert read(environ={"NEARDUP_ALLOW_URI": "file:///b,file:///c"}).allow_uri == ("file:///b", "file:///c")


@pytest.mark.parametrize(("text", "radius"), [("0.1", 0.1), ("auto", None)])
def test_the_radius_of_a_folder_is_a_number_or_auto(text: str, radius: float | None) -> None:
    arguments = ["photos", "--index", "memory", "--radius", text]
    assert read_settings(FolderSettings, arguments, {}, prog="folder", description="").radius == radius


def test_all_that_is_wrong_is_said_together() -> None:
    with pytest.raises(Misconfigured) as caught:
        read(
            ["--batch-size", "0", "--log-level", "loud", "--probe", "3"],
            {"NEARDUP_METRICS_PORT": "65536", "NEARDUP_POLL_TIMEOUT_S": "nan", "NEARDUP_SECURITY_PROTOCOL": "none"},
        )
    lines = str(caught.value).splitlines()
    named = ["--batch-size", "--log-level", "--probe", "NEARDUP_METRICS_PORT", "NEARDUP_POLL_TIMEOUT_S"]
    assert len(lines) == len(named) + 1
    for name in [*named, "NEARDUP_SECURITY_PROTOCOL"]:
        assert sum(line.startswith(f"{name}: ") for line in lines) == 1


def test_an_unknown_flag_is_one_line() -> None:
    with pytest.raises(Misconfigured, match=r"^--topics: there is no such flag; did you mean --topic\?$"):
        read(["--topics", "images"])


SECRETS = {
    "--sasl-password": "hidden-1",
    "--ssl-key-password": "hidden-2",
    "--redis": "redis://user:hidden-3@example.org",
    "--redis-password": "hidden-4",
}


def test_secrets_are_not_shown() -> None:
    arguments = [word for flag_and_value in SECRETS.items() for word in flag_and_value]
    settings = read(arguments)
    assert settings.sasl_password == "hidden-1"  # noqa: S105 - invented
    assert "hidden" not in repr(settings)
    assert "topic='images'" in repr(settings)


def test_the_client_is_told_only_what_is_set() -> None:
    assert KafkaSettings(bootstrap_servers="a:1, b:2").client_config() == {
        "bootstrap_servers": ["a:1", "b:2"],
        "security_protocol": "PLAINTEXT",
    }


def test_security_settings_pass_through(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own = authority.issue("camera", password=b"y")
    settings = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="camera",
        sasl_password="x",  # noqa: S106 - invented
        ssl_cafile=str(authority.file),
        ssl_certfile=str(own.certificate),
        ssl_keyfile=str(own.key),
        ssl_key_password="y",  # noqa: S106 - invented
    )
    assert settings.client_config() == {
        "bootstrap_servers": ["127.0.0.1:9092"],
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "camera",
        "sasl_plain_password": "x",
        "ssl_cafile": str(authority.file),
        "ssl_certfile": str(own.certificate),
        "ssl_keyfile": str(own.key),
        "ssl_password": "y",
    }


def test_security_settings_that_cannot_work_are_all_said() -> None:
    wrong = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="PLAIN",
        ssl_cafile="/no/ca",
        ssl_certfile="/no/cert",
        ssl_keyfile="/",
    )
    with pytest.raises(Misconfigured) as caught:
        wrong.client_config()
    lines = str(caught.value).splitlines()
    assert [line.partition(":")[0] for line in lines[1:]] == ["--ssl-cafile", "--ssl-certfile", "--ssl-keyfile"]
    assert "--sasl-username" in lines[0]
    with pytest.raises(Misconfigured, match="--sasl-mechanism: --security-protocol SASL_SSL needs one"):
        replace(wrong, sasl_mechanism=None).client_config()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"ssl_cafile": "{ca}"}, "--ssl-cafile: --security-protocol PLAINTEXT has no TLS"),
        ({"ssl_certfile": "{cert}"}, "--ssl-certfile: --security-protocol PLAINTEXT has no TLS"),
        ({"sasl_mechanism": "PLAIN"}, "--sasl-mechanism: --security-protocol PLAINTEXT has no login"),
        ({"security_protocol": "SSL", "ssl_keyfile": "{key}"}, "--ssl-keyfile: it needs --ssl-certfile"),
        ({"security_protocol": "SSL", "ssl_cafile": "{key}"}, "--ssl-cafile: '{key}' holds no certificate"),
        ({"security_protocol": "SSL", "ssl_certfile": "{cert}"}, "--ssl-certfile: '{cert}', the key in '{cert}'"),
        (
            {"security_protocol": "SSL", "ssl_certfile": "{cert}", "ssl_keyfile": "{key}"},
            "--ssl-certfile: '{cert}', the key in '{key}' and --ssl-key-password do not fit: ",
        ),
        (
            {
                "security_protocol": "SSL",
                "ssl_certfile": "{cert}",
                "ssl_keyfile": "{key}",
                "ssl_key_password": "hidden",
            },
            "--ssl-certfile: '{cert}', the key in '{key}' and --ssl-key-password do not fit: ",
        ),
        (
            {"security_protocol": "SSL", "ssl_certfile": "{cert}", "ssl_keyfile": "{other}"},
            "--ssl-certfile: '{cert}', the key in '{other}' and --ssl-key-password do not fit: KEY_VALUES_MISMATCH",
        ),
    ],
)
@pytest.mark.parametrize(
    "kind",
    [
        KafkaSettings,
        partial(ExportSettings, format="csv", output=Path("out.csv")),
        ReportSettings,
        WatchSettings,
        BackfillSettings,
    ],
)
def test_what_would_go_out_in_the_clear_or_never_connect_is_refused(
    settings: dict[str, str], line: str, kind: Callable[..., KafkaConnection], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    own, other = authority.issue("camera", password=b"right"), authority.issue("other")
    paths = {"ca": authority.file, "cert": own.certificate, "key": own.key, "other": other.key}
    given = {name: value.format(**paths) for name, value in settings.items()}
    with pytest.raises(Misconfigured) as caught:
        kind(**given).client_config()
    [said] = str(caught.value).splitlines()
    assert said.startswith(line.format(**paths))
    assert "hidden" not in said
