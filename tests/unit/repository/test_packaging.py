"""What a stranger meets: metadata, the wheel, and the files that name Pythons and tools, which have to agree."""

import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import bootstrap.generation.snapshot
from neardup.index.base import _READABLE, FORMAT_VERSION, LOOK_FORMAT_VERSION
from neardup.index.stored.codec import RECORD_VERSION
from neardup.wire import VERDICT_SCHEMA

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def parsed(path: Path) -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(path.read_text("utf-8"))
    return loaded


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


# The wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel with what is installed, fetching nothing."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def metadata(wheel: zipfile.ZipFile) -> Message:
    [name] = [name for name in wheel.namelist() if name.endswith(".dist-info/METADATA")]
    return Parser().parsestr(wheel.read(name).decode())


def test_the_wheel_has_types_weights_scripts_and_schemas(wheel: zipfile.ZipFile) -> None:
    files = set(wheel.namelist())
    assert {"neardup/py.typed", "neardup/index/stored/commit.lua", "consumer/schemas/verdict.schema.json"} <= files
    page = ROOT / "neardup/report/page"
    assert {path.relative_to(ROOT).as_posix() for path in page.rglob("*.*") if path.suffix != ".pyc"} <= files
    assert {f"neardup/descriptors/weights/copynet.{end}" for end in ("tflite", "npz", "json")} <= files
    assert {name.split("/")[0] for name in files if ".dist-info/" not in name} == {"neardup", "bootstrap", "consumer"}


def test_a_plain_installation_has_no_tensorflow(wheel: zipfile.ZipFile) -> None:
    required = metadata(wheel).get_all("Requires-Dist", [])
    networks = [line for line in required if re.match(r"(tensorflow|keras)\b", line)]
    assert len(networks) == 2
    assert all("extra == 'keras'" in line for line in networks)


def test_the_metadata_says_what_the_package_is(wheel: zipfile.ZipFile) -> None:
    told = metadata(wheel)
    assert told["License-Expression"] == "Apache-2.0"
    assert "near-duplicates" in told["Keywords"]
    assert "Typing :: Typed" in told.get_all("Classifier", [])


# Pythons


def pythons() -> list[str]:
    """Return the Pythons that the classifiers name."""
    names = [name.rpartition(" ")[2] for name in PROJECT["project"]["classifiers"] if ":: Python :: 3." in name]
    return sorted(names, key=version)


def test_all_that_names_pythons_names_the_same() -> None:
    named = pythons()
    assert all(after == (before[0], before[1] + 1) for before, after in pairwise(map(version, named)))
    accepted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert [f"3.{minor}" for minor in range(30) if f"3.{minor}.5" in accepted] == named
    [bounds] = re.findall(r"\((3, \d+)\) <= v <= \((3, \d+)\)", (ROOT / "Makefile").read_text("utf-8"))
    assert [bound.replace(", ", ".") for bound in bounds] == [named[0], named[-1]]
    assert PROJECT["tool"]["mypy"]["python_version"] == named[0]
    assert PROJECT["tool"]["ruff"]["target-version"] == f"py{named[0].replace('.', '')}"
    assert parsed(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["strategy"]["matrix"]["python"] == named


# What GitHub reads


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_read_only_and_pins_what_it_uses(path: Path) -> None:
    workflow = parsed(path)
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"] > 0
        for step in job["steps"]:
            assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", step.get("uses", f"actions/none@{'0' * 40}"))
            assert "secrets." not in str(step)


def test_continuous_integration_is_what_anybody_can_run() -> None:
    steps = parsed(ROOT / ".github/workflows/ci.yml")["jobs"]["test"]["steps"]
    assert steps[-1] == {"run": ".ci/run"}
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    assert next(step for step in steps if "checkout" in step.get("uses", ""))["with"] == {"persist-credentials": False}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_asks_for_something(path: Path) -> None:
    form = parsed(path)
    assert {"name", "description", "body"} <= form.keys()
    assert any(field.get("validations", {}).get("required") for field in form["body"])
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids)


# Before a commit


def test_hooks_run_the_tools_of_the_lock_file() -> None:
    repositories = parsed(ROOT / ".pre-commit-config.yaml")["repos"]
    locked = {canonicalize_name(re.split(r"[>=;\[ ]", line)[0]) for line in PROJECT["dependency-groups"]["dev"]}
    assert [each["repo"] for each in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin")
        assert program.name in locked
        assert hook["language"] == "unsupported"  # pre-commit's word for: run it as it is, install nothing


def test_hooks_are_readable_for_pre_commit() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


# The promise


def test_compatibility_names_the_formats_of_today() -> None:
    page = (ROOT / "docs/compatibility.md").read_text("utf-8")
    [older] = _READABLE - {FORMAT_VERSION, LOOK_FORMAT_VERSION}
    assert f"`{VERDICT_SCHEMA}` today" in page
    assert f"Today's is {FORMAT_VERSION}; format {older} is read, too" in page
    assert f"| `format_version`, {FORMAT_VERSION}; reads {older} |" in page
    assert f"(`--agreement`) it is {LOOK_FORMAT_VERSION}," in page
    assert f"| `format_version`, {LOOK_FORMAT_VERSION}, and `look_version` |" in page
    assert f"| first byte, {RECORD_VERSION} |" in page
    assert f"| `format_version`, {bootstrap.generation.snapshot.FORMAT_VERSION} |" in page
