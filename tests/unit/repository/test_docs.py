"""The documents against the code: what they list exists, and what exists they list."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from prometheus_client.metrics import MetricWrapperBase

import training.__main__
from consumer.claim_checks.schemes import SCHEMES
from consumer.health import STALLED_AFTER_S
from consumer.messages import MAX_DETAIL_CHARACTERS, MAX_ENVELOPE_BYTES, MAX_IMAGE_ID_BYTES
from consumer.metrics import OPERATIONS, STAGES, Metrics
from neardup import __version__
from neardup.cli.commands import COMMANDS, family
from neardup.decoding.formats import FORMATS, formats_of
from neardup.descriptors import DEFAULT, DESCRIPTORS, SPECS, load_descriptor
from neardup.errors import reasons
from neardup.index.stored.keys import PREFIX, IndexKeys
from neardup.relation.kept import Parts
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.relation.symmetry import SWITCHES
from neardup.search.distance import similarity
from neardup.settings.command_line import flags_of
from neardup.settings.options import Option, options_of
from neardup.settings.subjects import CLAIM_CHECKS, DUPLICATES, OTHERS, SUBJECTS
from neardup.types import Symmetry

ROOT = Path(__file__).parents[3]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md")),
    *DOCS,
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETTINGS = {each.name: each.settings_class for each in COMMANDS}
MODULES = {
    "consumer": ["consume", "folder"],
    "consumer.feed": ["feed"],
    "bootstrap": ["bootstrap"],
    "bootstrap.index": [each.name for each in family("index")],
    "bootstrap.calibrate": ["calibrate"],
}
PACKAGES = ("neardup", "consumer", "bootstrap")
DOOR = {each.name.partition(" ")[0] for each in COMMANDS}
DEMO_FLAGS = {"--images", "--report"}
TRAINING_FLAGS = set(re.findall(r"(--[a-z-]+)[ ,\]]", training.__main__.command_line().format_usage()))


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return what stands under a heading, up to the next one of any level."""
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.lstrip("#").strip() == heading and line[0] == "#"]
    assert len(starts) == 1, f"heading {heading!r} stands {len(starts)} times"
    rest = lines[starts[0] + 1 :]
    return "\n".join(rest[: next((number for number, line in enumerate(rest) if is_heading(line)), len(rest))])


def is_heading(line: str) -> bool:
    return re.match(r"#{1,6} ", line) is not None


def rows(text: str) -> list[list[str]]:
    """Return the cells of every table row, without heads and rules."""
    lines = text.splitlines()
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for number, line in enumerate(lines)
        if line.startswith("|")
        and not line.startswith("|---")
        and not (number + 1 < len(lines) and lines[number + 1].startswith("|---"))
    ]


def slugs_in(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# Settings


def documented(subject: str) -> list[list[str]]:
    return rows(section(text_of("docs/settings.md"), subject))


def expected_cells(declared: Option) -> tuple[str, str, str]:
    said = re.search(r"\(default: (auto|off)\)|\bauto\b", declared.text)
    none = f"`{said[1] or 'auto'}`" if said else "none"
    return (
        names_of(declared.flag, declared.aliases),
        names_of(declared.env, declared.alias_envs),
        "required" if declared.required else f"`{declared.default_text}`" if declared.default_text else none,
    )


def names_of(name: str, aliases: tuple[str, ...]) -> str:
    also = f" (also {', '.join(f'`{alias}`' for alias in aliases)})" if aliases else ""
    return f"`{name}`{also}" if name else "none"


def settings_about(subject: str) -> dict[tuple[str, str, str], list[tuple[str, Option]]]:
    """Return the commands that have a setting, and how each declares it, by the cells that the page shows of it."""
    found: dict[tuple[str, str, str], list[tuple[str, Option]]] = {}
    for name, cls in SETTINGS.items():
        for _, declared in options_of(cls):
            if declared.subject == subject:
                found.setdefault(expected_cells(declared), []).append((name, declared))
    return found


def commands_in(cell: str) -> list[str]:
    """Return the commands that a cell names, where the first word of a family stands for all of it."""
    return [command for name in slugs_in(cell) for command in ([each.name for each in family(name)] or [name])]


ABOUT = [subject for subject in SUBJECTS if settings_about(subject)]


@pytest.mark.parametrize("subject", ABOUT)
def test_settings_are_documented_with_the_commands_that_have_them(subject: str) -> None:
    told = [(tuple(row[:3]), commands_in(row[3])) for row in documented(subject) if len(row) == 5]
    expected = [(cells, [name for name, _ in having]) for cells, having in settings_about(subject).items()]
    assert told == expected


@pytest.mark.parametrize("subject", ABOUT)
def test_settings_have_a_meaning_and_secrets_say_so(subject: str) -> None:
    for row, having in zip(documented(subject), settings_about(subject).values(), strict=True):
        assert len(row[4]) >= 10, row
        assert row[4].endswith("."), row
        assert all(row[4].endswith("Secret.") is declared.secret for _, declared in having), row


def test_every_setting_has_a_subject_and_each_command_some_that_are_common() -> None:
    assert OTHERS not in ABOUT
    for name, cls in SETTINGS.items():
        assert any(declared.common for _, declared in options_of(cls)), name


def test_every_command_is_documented() -> None:
    [table] = [found for found in tables(text_of("docs/settings.md")) if found[0] == "| of | command | does |"]
    told: list[str] = []
    for of, lines, _ in rows("\n".join(table)):
        name = of.strip("`")
        told += [f"{name} {line.split()[-1]}" for line in slugs_in(lines)] if family(name) else [name]
    assert told == [each.name for each in COMMANDS]


def test_formats_are_documented() -> None:
    told = [row[2] for row in rows(text_of("docs/security.md")) if row[0] == "formats"]
    assert [formats_of(text.replace(" 2000", "2000")) for text in told] == [FORMATS]
    [line] = [line for line in text_of("docs/wire-contracts.md").splitlines() if line.startswith("Formats: ")]
    named = re.findall(r"[A-Z0-9]{3,}", line.upper().replace(" 2000", "2000").replace("HEIC", "HEIF"))
    assert [name for name in FORMATS if name not in named] == []


# Metrics


def metrics() -> dict[str, tuple[str, set[str]]]:
    """Return type and labels of every metric under the name that Prometheus knows."""
    found = {}
    for collector in vars(Metrics()).values():
        if isinstance(collector, MetricWrapperBase):
            [family] = collector.describe()
            suffix = "_total" if family.type == "counter" else ""
            found[family.name + suffix] = (family.type, set(collector._labelnames))
    return found


def test_metrics_are_documented() -> None:
    table = rows(section(text_of("docs/metrics.md"), "Every metric"))
    assert {row[0].strip("`"): (row[1], set(slugs_in(row[3]))) for row in table} == metrics()


@pytest.mark.parametrize(
    ("metric", "values"), [("neardup_stage_seconds", STAGES), ("neardup_retries_total", OPERATIONS)]
)
def test_label_values_are_documented(metric: str, values: tuple[str, ...]) -> None:
    [row] = [row for row in rows(text_of("docs/metrics.md")) if row[0] == f"`{metric}`"]
    assert set(values) <= set(slugs_in(row[4]))


def test_metrics_that_pages_name_exist() -> None:
    histograms = [name for name, (kind, _) in metrics().items() if kind == "histogram"]
    known = {*metrics(), *(f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count"))}
    for page in PAGES:
        assert set(re.findall(r"\bneardup_[a-z_]+\b", page.read_text(encoding="utf-8"))) <= known, page.name


def test_alerts_are_documented() -> None:
    alerts = set(re.findall(r"- alert: (\w+)", text_of("deploy/prometheus/rules.yml")))
    assert alerts == set(re.findall(r"`(Neardup[A-Z]\w+)`", section(text_of("docs/metrics.md"), "Alerts")))


def test_health_paths_are_documented() -> None:
    table = {row[0].strip("`"): row[1] for row in rows(text_of("docs/metrics.md")) if row[0].startswith("`/")}
    assert table.keys() == {"/metrics", "/healthz", "/readyz"}
    assert f"{STALLED_AFTER_S:.0f} s" in table["/healthz"]


# Contracts


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files("consumer").joinpath(f"schemas/{name}.schema.json").read_text("utf-8"))
    return loaded


def example(name: str) -> dict[str, Any]:
    found = re.search(rf"<!-- example {name} -->\n```json\n(.+?)```", text_of("docs/wire-contracts.md"), re.DOTALL)
    assert found
    document: dict[str, Any] = json.loads(found[1])
    return document


@pytest.mark.parametrize("name", ["verdict", "envelope"])
def test_examples_are_valid(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))
    jsonschema.validate(example(name), schema(name), format_checker=jsonschema.FormatChecker())


@pytest.mark.parametrize(("name", "heading"), [("verdict", "Verdicts"), ("envelope", "Envelope")])
def test_fields_are_documented(name: str, heading: str) -> None:
    fields = schema(name)["properties"]
    table = [row for row in rows(section(text_of("docs/wire-contracts.md"), heading)) if row[0].strip("`") in fields]
    assert [row[0].strip("`") for row in table if row[1].startswith(("text", "number", "integer", "object"))] == (
        list(fields) if name == "verdict" else ["uri", "image_id"]
    )
    nullable = {field for field, kind in fields.items() if "null" in kind.get("type", [])}
    assert {row[0].strip("`") for row in table if "or null" in row[1]} == nullable
    assert set(example(name)) == {
        field for field, kind in fields.items() if "absent" not in kind.get("description", "")
    }


def test_symmetries_are_documented() -> None:
    assert schema("verdict")["properties"]["symmetry"]["enum"] == [*Symmetry, None]
    [row] = [row for row in rows(section(text_of("docs/wire-contracts.md"), "Verdicts")) if row[0] == "`symmetry`"]
    assert slugs_in(row[2]) == [*Symmetry]


def test_what_a_member_keeps_besides_is_documented() -> None:
    costs = {row[0].strip("`"): row[2] for row in rows(section(text_of("docs/index.md"), "What a duplicate is"))}
    assert costs["--local-change X"].startswith(f"{Parts.THUMBNAIL.nbytes:,} bytes per member")
    assert costs["--agreement A"].startswith(f"{Parts.LOOK.stored_nbytes:,} bytes per member")
    both = f"takes {Parts.THUMBNAIL.nbytes:,} bytes more, with `--agreement` {Parts.LOOK.stored_nbytes:,}."
    assert both in text_of("docs/index-performance.md")
    more = f"{Parts.THUMBNAIL.nbytes:,} more in an index with `--local-change` and {Parts.LOOK.stored_nbytes:,} with"
    assert f"{more} `--agreement`" in " ".join(text_of("docs/operations.md").split())
    kept = [row[1] for row in rows(section(text_of("docs/second-look.md"), "What is kept"))]
    assert kept == [f"{Parts.LOOK.stored_nbytes:,}", f"{Parts.LOOK.nbytes:,}"]


def test_the_default_agreement_is_documented() -> None:
    [row] = [row for row in documented(DUPLICATES) if row[0] == "`--agreement`"]
    assert f"`auto` is {DEFAULT_AGREEMENT:g};" in row[4]
    assert f"{DEFAULT_AGREEMENT:g} is what `--agreement auto` stands for" in text_of("docs/library.md")
    assert f"`auto` is {DEFAULT_AGREEMENT:g}." in section(text_of("docs/second-look.md"), "How much is needed")


def test_switches_of_symmetries_are_settings_of_the_bootstrap_and_of_folder_mode_and_told_of() -> None:
    for command in ("bootstrap", "folder"):
        flags = {name: declared.flag for name, declared in options_of(SETTINGS[command])}
        assert [name for name in SWITCHES if name not in flags] == []
    told = {slug for row in rows(section(text_of("docs/index.md"), "What a duplicate is")) for slug in slugs_in(row[0])}
    assert {flags[name] for name in SWITCHES} <= told


def test_example_is_of_the_default_descriptor() -> None:
    descriptor, verdict = load_descriptor(DEFAULT), example("verdict")
    assert (verdict["descriptor"], verdict["radius"]) == (descriptor.fingerprint, descriptor.default_radius)
    assert verdict["similarity"] == pytest.approx(similarity(verdict["distance"]), abs=1e-12)


def test_descriptors_are_documented() -> None:
    table = [slugs_in(row[0]) for row in rows(section(text_of("docs/descriptors.md"), "Descriptors"))]
    assert {form.partition(":")[0] for forms in table for form in forms} == set(DESCRIPTORS)
    meanings = [row[4].replace("`", "") for row in documented(DUPLICATES) if row[0] == "`--descriptor`"]
    assert [meaning for meaning in meanings if SPECS in meaning]


def test_reasons_are_documented() -> None:
    table = rows(section(text_of("docs/wire-contracts.md"), "Reasons"))
    assert [row[0].strip("`") for row in table] == list(reasons())


def test_schemes_of_claim_checks_are_documented() -> None:
    table = rows(section(text_of("docs/claim-checks.md"), "Claim checks"))
    told = {row[0].strip("`"): row[2].strip("`") for row in table}
    assert told == {scheme.prefix: name if scheme.package else "none" for name, scheme in SCHEMES.items()}
    [row] = [row for row in documented(CLAIM_CHECKS) if row[0] == "`--allow-uri`"]
    for text in (row[4], section(text_of("docs/wire-contracts.md"), "Envelope")):
        assert [name for name in SCHEMES if f"`{name}:`" not in text] == []


def test_findings_are_documented() -> None:
    scripts = {f"findings/{script.name}" for script in (ROOT / "findings").iterdir()}
    assert scripts == set(re.findall(r"findings/[\w.-]+", (ROOT / "docs/behaviours.md").read_text("utf-8")))


def test_schemes_have_an_extra_of_their_name() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    for name, scheme in SCHEMES.items():
        assert scheme.package is None or scheme.package in names(extras[name]), name


def test_limits_are_documented() -> None:
    text = " ".join(text_of("docs/wire-contracts.md").split())
    assert f"1 to {MAX_IMAGE_ID_BYTES} bytes" in text
    assert f"longer than {MAX_IMAGE_ID_BYTES} bytes" in text
    assert f"at most {MAX_ENVELOPE_BYTES:,} bytes" in text
    assert f"at most {MAX_DETAIL_CHARACTERS} characters" in text


# Architecture


def test_errors_are_documented_by_fate() -> None:
    table = {row[0].strip("`"): set(slugs_in(row[2])) for row in rows(section(ARCHITECTURE, "Errors know their fate"))}
    bases = bases_by_class()
    assert table == {family: set(below(family, bases)) for family in below("NeardupError", bases, depth=1)}


ARCHITECTURE = text_of("docs/architecture.md")


def bases_by_class() -> dict[str, set[str]]:
    """Read from the source: a class whose module no test of this process has imported counts, too."""
    sources = (path.read_text("utf-8") for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    classes = (node for source in sources for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef))
    return {each.name: {ast.unparse(base) for base in each.bases} for each in classes}


def below(family: str, bases: dict[str, set[str]], depth: int = 9) -> Iterator[str]:
    for name in (name for name, of in bases.items() if family in of):
        yield name
        if depth > 1:
            yield from below(name, bases, depth - 1)


def test_keys_are_documented() -> None:
    keys = IndexKeys("NAME")
    names = {keys.live, keys.previous, keys.last, keys.generations, keys.removed, keys.decided("KEY")}
    of_a_generation = (keys.metadata, keys.centroids, keys.projection, keys.pca, keys.splits, keys.log, keys.trimmed)
    names.add(keys.known(7).replace("g7", "gG"))
    names |= {key(7).replace("g7", "gG") for key in of_a_generation}
    names.add(keys.cell(7, 1).replace("g7", "gG").removesuffix("1") + "C")
    assert {row[0].strip("`") for row in rows(section(ARCHITECTURE, "The index in Redis"))} == names


def test_keys_that_pages_name_begin_as_ours_do() -> None:
    named = {page.name: set(re.findall(r"[\w-]+(?=:\{\w+\}:)", page.read_text("utf-8"))) for page in PAGES}
    assert {name: prefixes for name, prefixes in named.items() if not prefixes <= {PREFIX}} == {}


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/extending.md"])
def test_files_and_tests_that_a_page_names_exist(page: str) -> None:
    text = text_of(page)
    named = re.findall(r"`((?:neardup|consumer|bootstrap|tests)/[a-z_/]+\.(?:py|lua|json))`", text)
    assert "neardup/wire.py" in named
    assert [name for name in named if not (ROOT / name).exists()] == []
    tests = "\n".join((ROOT / name).read_text("utf-8") for name in named if name.startswith("tests/"))
    assert [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in tests] == []


def test_every_change_of_the_table_has_its_recipe() -> None:
    page = text_of("docs/extending.md")
    told = [re.findall(r"\(#([\w-]+)\)", row[0])[0] for row in rows(section(page, "Extending neardup"))]
    assert [title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", page, re.MULTILINE)] == told
    assert page.count("\nWhat tells: ") == len(told)


def test_the_loop_is_told_as_it_is() -> None:
    told = re.sub(r"[\s*]+", " ", section(ARCHITECTURE, "The loop, and what a crash costs"))
    loop = ast.get_docstring(ast.parse(text_of("consumer/loop.py"))) or ""
    for sentence in re.findall(r"\d\. [^.;]+", re.sub(r"\s+", " ", loop)):
        assert sentence in told


# Commands


def test_exit_codes_are_documented() -> None:
    table = rows(section(text_of("docs/operations.md"), "Exit codes"))
    command, told = "", dict[str, set[int]]()
    for row in table:
        command = row[0].strip("`") or command
        told.setdefault(command, set()).add(int(row[1]))
    sources = {
        "neardup consume": "consumer/__main__.py",
        "neardup serve": "consumer/serve/service.py",
        "neardup folder": "consumer/folder/judge.py",
        "neardup report": "consumer/report/command.py",
        "neardup undo": "consumer/folder/tidying.py",
        "neardup feed": "consumer/feed.py",
        "neardup backfill": "consumer/backfill/command.py",
        "neardup watch": "consumer/watch/running.py",
        "neardup export": "consumer/export/command.py",
        "neardup bootstrap": "bootstrap/__main__.py",
        "neardup index": "bootstrap/index.py",
        "neardup calibrate": "bootstrap/calibrate.py",
        "python -m demo": "demo/__main__.py",
    }
    texts = {name: ast.get_docstring(ast.parse(text_of(path))) or "" for name, path in sources.items()}
    assert told == {name: exit_codes(text) for name, text in texts.items()}


def exit_codes(docstring: str) -> set[int]:
    """Return the numbers that begin the phrases after "Exit codes"."""
    after = docstring.partition("Exit codes")[2]
    assert after
    return {int(code) for code in re.findall(r"(?:[:,]|^)\s*(\d{1,3})\s", after, re.MULTILINE)}


def command_lines() -> Iterator[tuple[str, str, list[str]]]:
    """Iterate over (page, command, flags) of each command line that a page shows, by module or through the door."""
    modules = "|".join(re.escape(name) for name in sorted([*MODULES, "demo"], reverse=True))
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in re.finditer(rf"(python -m (?:{modules})|neardup (?:{'|'.join(DOOR)}))\b([^`\n]*)", text):
            yield page.name, found[1], re.findall(r"(?<![\w-])--[a-z][a-z-]*", found[2])


def flags_of_command_line(command: str) -> set[str]:
    by_module = command.startswith("python -m ")
    name = command.removeprefix("python -m ").removeprefix("neardup ")
    if name == "demo":
        return DEMO_FLAGS
    commands = MODULES[name] if by_module else [each.name for each in family(name)] or [name]
    return {"--help", "--help-all", *(flag for each in commands for flag in flags_of(SETTINGS[each]))}


def test_command_lines_have_only_flags_that_exist() -> None:
    shown = list(command_lines())
    assert {command for _, command, _ in shown} >= {f"neardup {name}" for name in DOOR}
    assert [
        (page, command, flag)
        for page, command, flags in shown
        for flag in flags
        if flag not in flags_of_command_line(command)
    ] == []


def test_flags_in_running_text_exist() -> None:
    known = (DEMO_FLAGS | TRAINING_FLAGS).union(
        *map(flags_of, SETTINGS.values()), {"--help", "--help-all", "--version"}
    )
    for page in PAGES:
        spans = re.findall(r"(?<!`)`(--[a-z-]+)[^`]*`", page.read_text(encoding="utf-8"))
        spans = [span for span in spans if not span.endswith("-")]  # `--ssl-`: a family
        assert set(spans) <= known, page.name


def test_variables_exist() -> None:
    options = [option for cls in SETTINGS.values() for _, option in options_of(cls)]
    known = {name for option in options for name in (*option.envs, option.file_env)}
    for page in PAGES:
        assert set(re.findall(r"\bNEARDUP_[A-Z_]+\b", page.read_text(encoding="utf-8"))) - {"NEARDUP_DATA"} <= known, (
            page
        )


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of("Makefile"), re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"(?:^\$ |`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)) <= targets
    listed = {row[0].strip("`").split()[-1] for row in rows(section(text_of("CONTRIBUTING.md"), "Set up"))}
    assert listed == targets - {"help"}


SOURCES = re.sub(
    r'["\']\s*f?["\']',
    "",
    "\n".join(path.read_text("utf-8") for name in PACKAGES for path in (ROOT / name).rglob("*.py")),
)


def test_lines_to_look_up_are_lines_of_ours() -> None:
    table = rows(section(text_of("docs/operations.md"), "Troubleshooting"))
    lines = [row[0].strip("`") for row in table if row[0].startswith("`")]
    # "Unable to bootstrap" is kafka-python's own text.
    parts = [part.strip() for line in lines for part in line.split("...") if "Unable to bootstrap" not in part]
    assert [part for part in parts if part not in SOURCES] == []


# Dependencies


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in requirements}


def told_packages(heading: str) -> list[str]:
    return [name for row in rows(section(text_of("docs/dependencies.md"), heading)) for name in slugs_in(row[0])]


def test_dependencies_have_their_reason() -> None:
    project = PROJECT["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    assert set(told_packages("At run time")) == names(project["dependencies"])
    assert set(told_packages("Extras")) == names(extras)
    assert set(told_packages("For development")) == names(PROJECT["dependency-groups"]["dev"])
    assert set(told_packages("For the benchmark")) == names(PROJECT["dependency-groups"]["bench"])
    for row in rows(text_of("docs/dependencies.md")):
        assert len(row[-1]) > 10, row


def test_extras_are_named_as_they_are() -> None:
    table = rows(section(text_of("docs/dependencies.md"), "Extras"))
    told = {row[1].strip("`"): names(slugs_in(row[0])) for row in table}
    assert told == {extra: names(texts) for extra, texts in PROJECT["project"]["optional-dependencies"].items()}


# Pages


def headings(page: Path) -> set[str]:
    """Return the anchors that GitHub makes of a page's headings."""
    lines = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL).splitlines()
    titles = [line.lstrip("#").strip() for line in lines if is_heading(line)]
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        found = (page.parent / name).resolve() if name else page
        assert found.exists(), target
        assert found.is_relative_to(ROOT), target
        assert not anchor or anchor in headings(found), target


def test_readme_links_every_page() -> None:
    linked = set(re.findall(r"\]\(([^)#\s]+)\)", text_of("README.md")))
    assert {page.relative_to(ROOT).as_posix() for page in PAGES[1:]} | {"LICENSE"} <= linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_are_tidy(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert text.endswith("\n")
    assert text.count("```") % 2 == 0
    assert [line for line in text.splitlines() if line != line.rstrip() or "\t" in line] == []


TABLED = sorted({*PAGES, *(path for name in ("tests", "benchmarks", "deploy") for path in (ROOT / name).rglob("*.md"))})


def tables(text: str) -> Iterator[list[str]]:
    """Iterate over the tables of a page, each as its lines; what stands in a code block is none."""
    block: list[str] = []
    for line in [*re.sub(r"```.*?```", "", text, flags=re.DOTALL).splitlines(), ""]:
        if line.startswith("|"):
            block.append(line)
        elif block:
            yield block
            block = []


def width(line: str) -> int:
    """Return how many cells a row has; an escaped bar is text."""
    return len(re.split(r"(?<!\\)\|", line.strip())) - 2


@pytest.mark.parametrize("page", TABLED, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_tables_have_a_head_a_rule_and_rows_of_one_width(page: Path) -> None:
    for table in tables(page.read_text(encoding="utf-8")):
        assert all(line.endswith("|") for line in table), table[0]
        assert len(table) > 2, table
        assert re.fullmatch(r"\|(:?-+:?\|)+", table[1]), table[:2]
        assert {width(line) for line in table} == {width(table[0])}, table[0]


def test_changelog_tells_of_this_version() -> None:
    text = text_of("CHANGELOG.md")
    assert f"## [{__version__}]" in text


def test_readme_says_which_pythons() -> None:
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert "Python 3.11, 3.12 or 3.13" in text_of("README.md")


def test_the_architecture_page_names_every_room_and_where_to_begin() -> None:
    row = re.compile(r"^\| `((?:neardup|consumer|bootstrap)/[a-z_/]*)` \|.*\| `([a-z_]+\.py)` \|$", re.MULTILINE)
    rooms = {ROOT / room: first for room, first in row.findall(ARCHITECTURE)}
    packages = (path.parent for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
    assert set(rooms) == set(packages)
    assert [room for room, first in rooms.items() if not (room / first).is_file()] == []
