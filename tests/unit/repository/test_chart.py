"""The files of the chart against the code and against one another, without Helm: tests/integration/chart has it."""

import tomllib
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from consumer.roles.foreign import ALL
from tests.support import chart
from tests.support.chart import CHART, ROOT

SCHEMA = chart.schema()
VALUES = chart.values()


def test_its_readme_lists_every_value_with_its_default_and_its_meaning() -> None:
    text = (CHART / "README.md").read_text("utf-8")
    assert chart.with_table(text) == text, "python -m tests.support.chart writes it"
    assert text.count("\n| `") > 100


@pytest.mark.parametrize("name", chart.SETTINGS)
def test_values_may_name_the_settings_that_there_are(name: str) -> None:
    path = chart.SETTINGS[name]
    for role in VALUES["consumers"] if name == "consume" else (ALL,):
        allowed = chart.at(SCHEMA, *(path if len(path) == 2 else (path[0], role, path[2])))
        assert allowed["properties"] == chart.settings_for(name, role), "python -m tests.support.chart writes them"
        assert allowed["additionalProperties"] is False


def objects(part: Any, value: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:  # noqa: ANN401 - of JSON and YAML
    """Yield every part of the schema that says which names there are, with the values under them."""
    for name, each in part.get("properties", {}).items():
        if name in value:
            yield f"{path}.{name}".lstrip("."), each, value[name]
            yield from objects(each, value[name], f"{path}.{name}")


def test_the_schema_knows_every_value_and_no_other() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.Draft7Validator(SCHEMA).validate(VALUES)
    assert set(SCHEMA["properties"]) == {*VALUES, "global"}
    for path, part, value in objects(SCHEMA, VALUES):
        if "properties" in part and not path.endswith(("resources", "settings")):
            assert list(part["properties"]) == list(value), path
            assert part["additionalProperties"] is False, path
            # What is set to null is taken away, and no template could do without it.
            assert part["required"] == [name for name in value if name != "resources"], path


def test_roles_have_the_same_values_but_for_what_describers_do_not_need() -> None:
    consumers = VALUES["consumers"]
    assert set(consumers) == {"all", "describe", "decide"}
    assert set(consumers["all"]) == set(consumers["decide"]) == {*consumers["describe"], "indexCache"}
    assert [name for name, each in consumers.items() if each["enabled"]] == ["all"]


def test_it_is_of_our_version() -> None:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert about["appVersion"] == project["version"]


def test_alerts_and_dashboards_are_those_of_the_compose_file() -> None:
    copies = {chart.copy_of(path): path.read_bytes() for path in chart.COPIED}
    held = {path: path.read_bytes() for path in (CHART / "files").rglob("*") if path.is_file()}
    assert held == copies, "python -m tests.support.chart writes them"


def test_what_is_not_in_values_cannot_be_a_password() -> None:
    names = {path.rpartition(".")[2].lower() for path, _, _ in objects(SCHEMA, VALUES)}
    assert {name for name in names if "password" in name} == {"passwordkey", "keypasswordkey"}
