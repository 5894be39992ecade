"""The page on security against the code: its settings, its defaults, its tests."""

import re
from pathlib import Path

import pytest
import yaml

from consumer.health import MAX_CONNECTIONS, MAX_REQUEST_BYTES, REQUEST_TIMEOUT_S
from consumer.messages import MAX_DETAIL_CHARACTERS, MAX_ENVELOPE_BYTES, MAX_IMAGE_ID_BYTES
from consumer.settings import ServiceSettings
from neardup.errors import reasons
from neardup.settings.options import options_of

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/security.md").read_text("utf-8")
OPTIONS = {option.flag: option for _, option in options_of(ServiceSettings)}
LIMITS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## Limits")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| limit ")
]


@pytest.mark.parametrize("row", LIMITS, ids=lambda row: str(row[0]))
def test_a_limit_is_what_the_page_says(row: list[str]) -> None:
    _, setting, default, beyond, test = row
    if setting != "none":
        declared = OPTIONS[setting.strip("`")]
        assert default.strip("`") == (declared.default_text or "none") or setting == "`--formats`"
    assert set(re.findall(r"dead letter `([a-z-]+)`", beyond)) <= set(reasons())
    assert (ROOT / test.strip("`")).read_text("utf-8").count("def test_") > 0


def test_limits_that_are_no_settings() -> None:
    defaults = " ".join(row[2] for row in LIMITS if row[1] == "none")
    for limit in (MAX_IMAGE_ID_BYTES, MAX_ENVELOPE_BYTES, MAX_DETAIL_CHARACTERS, MAX_REQUEST_BYTES, MAX_CONNECTIONS):
        assert f"{limit:,}" in defaults
    assert f"{REQUEST_TIMEOUT_S:.0f} s" in defaults


def test_every_secret_is_named() -> None:
    secrets = {option.flag for option in OPTIONS.values() if option.secret}
    [named] = re.findall(r"Secrets are (.+?)\. In the", PAGE, re.DOTALL)
    assert set(re.findall(r"`(--[a-z-]+)`", named)) == secrets


def test_the_compose_example_has_settings_that_there_are() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    example = yaml.safe_load(text)
    consumer = example["services"]["consumer"]
    known = {name for option in OPTIONS.values() for name in (option.env, option.file_env)}
    assert set(consumer["environment"]) <= known
    assert set(consumer["secrets"]) == set(example["secrets"])
    mounted = set(re.findall(r"/run/secrets/(\w+)", str(consumer["environment"])))
    assert mounted == set(example["secrets"])


def test_files_that_the_page_names_exist() -> None:
    assert [name for name in re.findall(r"`(tests/[\w/]+\.py)`", PAGE) if not (ROOT / name).exists()] == []
