"""Where the tools of the chart come from, and what becomes of a definition's schema."""

import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from demo.services import ServiceUnavailable, find_helm, find_kubeconform
from demo.services.chart_tools import go_of, strict


def program(folder: Path, name: str, says: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_the_helm_of_the_machine_is_taken(tmp_path: Path) -> None:
    found = program(tmp_path, "helm", "v4.2.0")
    assert find_helm({"PATH": str(tmp_path)}, print) == found


def test_helm_3_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "helm", "v3.18.4")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ServiceUnavailable, match="no Helm 4 on the path"):
        find_helm({"PATH": str(tmp_path)}, print)


def test_the_go_of_the_machine_is_taken(tmp_path: Path) -> None:
    found = program(tmp_path, "go", "go1.26")
    with go_of("kubeconform", {"PATH": str(tmp_path)}) as go:
        assert go == str(found)


def test_kubeconform_wants_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ServiceUnavailable, match="it is compiled by Go: none is on the path"):
        find_kubeconform({"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}, print)


DEFINED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "port": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
        "spec": {"type": "object", "properties": {"name": {"type": "string"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "integer"}}}},
    },
}


@pytest.mark.parametrize(
    "document",
    [
        {"port": 80, "spec": {"name": "a"}, "labels": {"b": "c"}, "any": {"d": {"e": 1}}, "items": [{"a": 1}]},
        {"port": "http"},
    ],
)
def test_what_is_defined_passes(document: object) -> None:
    jsonschema.Draft7Validator(strict(DEFINED)).validate(document)


@pytest.mark.parametrize(
    "document",
    [{"port": 1.5}, {"spec": {"names": "a"}}, {"labels": {"b": 1}}, {"items": [{"b": 1}]}, {"other": 1}],
)
def test_what_is_not_defined_is_refused(document: object) -> None:
    assert not jsonschema.Draft7Validator(strict(DEFINED)).is_valid(document)
