"""Packages know what they may know, and importing a module does nothing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("neardup", "bootstrap", "consumer")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
NEARDUP = [path for path in MODULES if path.is_relative_to(ROOT / "neardup")]
DOOR = ROOT / "neardup/cli"
MAIN = ROOT / "neardup/__main__.py"
BOOTSTRAP = [path for path in MODULES if path.is_relative_to(ROOT / "bootstrap")]
CONSUMER = [path for path in MODULES if path.is_relative_to(ROOT / "consumer")]
KNOW_KAFKA = ("neardup/kafka", "consumer/transport")
MOST_LINES = 400
# Words whose use reaches outside the process; a module that says them at its top level works at import.
WORKING_CALLS = {"getenv", "open", "mkdir", "connect", "parse_args", "basicConfig", "start", "run", "print", "system"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def imports_of(path: Path) -> set[str]:
    """Return the full names that a module imports anywhere, inside its functions too."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}: relative imports hide who knows whom"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def declares_settings(path: Path) -> bool:
    """Say whether a module is one of those that own flags; Kafka's refusals are told by settings."""
    return "settings" in name_of(path) or "kafka" in name_of(path) or path.name == "options.py"


def top_level_of(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yield the nodes that run when a module is imported."""
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            parts: list[ast.AST] = [*statement.decorator_list, *statement.args.defaults]
        elif isinstance(statement, ast.ClassDef):
            yield from top_level_of(statement.body)
            parts = [*statement.decorator_list]
        elif isinstance(statement, ast.If) and "__main__" in ast.unparse(statement.test):
            parts = []
        else:
            parts = [statement]
        for part in parts:
            yield from _outside_functions(part)


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from _outside_functions(child)


def module_of(path: Path) -> str:
    """Return the name that a file is imported by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circle_in(paths: Mapping[str, Path]) -> list[str]:
    """Return modules that import one another in a circle, the first once more at its end; none where there is none.

    Imports inside functions count, and those for type checking: a reader goes round in circles either way.
    """
    known = {module: {_module_in(paths, name) for name in imports_of(path)} for module, path in paths.items()}
    try:
        TopologicalSorter({module: others - {module, ""} for module, others in known.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _module_in(paths: Mapping[str, Path], name: str) -> str:
    """Return the module that a full name leads to, which is the name or what stands before its last dot."""
    return next((module for module in (name, name.rpartition(".")[0]) if module in paths), "")


def test_no_modules_import_one_another_in_a_circle() -> None:
    packages = (*PACKAGES, "demo", "training")
    paths = {module_of(path): path for package in packages for path in (ROOT / package).rglob("*.py")}
    assert circle_in(paths) == []


@pytest.mark.parametrize(
    "back", ["import one", "def later():\n  from one import x", "if TYPE_CHECKING:\n  from one import X"]
)
def test_the_check_of_circles_sees_them(tmp_path: Path, back: str) -> None:
    for module, text in {"one": "from two import y", "two": "import three", "three": back}.items():
        (tmp_path / f"{module}.py").write_text(text)
    paths = {path.stem: path for path in tmp_path.glob("*.py")}
    assert set(circle_in(paths)) == set(paths)


@pytest.mark.parametrize("path", NEARDUP, ids=name_of)
def test_the_core_knows_no_application(path: Path) -> None:
    assert not roots_of(path) & {"prometheus_client", "bootstrap", "consumer", "demo", "tests"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_two_packages_know_kafka(path: Path) -> None:
    if not any(path.is_relative_to(ROOT / package) for package in KNOW_KAFKA):
        assert "kafka" not in roots_of(path)


@pytest.mark.parametrize("path", NEARDUP, ids=name_of)
def test_the_rest_of_the_core_does_without_kafka(path: Path) -> None:
    if not path.is_relative_to(ROOT / "neardup/kafka"):
        assert not [name for name in imports_of(path) if f"{name}.".startswith("neardup.kafka.")]


@pytest.mark.parametrize(
    "path", [path for path in NEARDUP if not path.is_relative_to(DOOR) and path != MAIN], ids=name_of
)
def test_only_settings_and_the_door_know_the_command_line(path: Path) -> None:
    of_settings = path.is_relative_to(ROOT / "neardup/settings")
    assert of_settings or "argparse" not in roots_of(path)
    packages = {".".join(name.split(".")[:2]) for name in imports_of(path)}
    assert of_settings or "neardup.settings" not in packages
    assert "neardup.cli" not in packages


@pytest.mark.parametrize("path", [path for path in NEARDUP if path != DOOR / "__init__.py"], ids=name_of)
def test_the_core_never_reads_the_environment(path: Path) -> None:
    assert not imports_of(path) & {"os.environ", "os.getenv", "os.environb"}
    for node in ast.walk(tree_of(path)):
        assert not (isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb", "argv"})


def texts_of(path: Path) -> Iterator[str]:
    """Yield the texts of a module that stand in its code, docstrings left out."""
    nodes = list(ast.walk(tree_of(path)))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


@pytest.mark.parametrize("path", [path for path in NEARDUP if not declares_settings(path)], ids=name_of)
def test_the_core_names_no_flag(path: Path) -> None:
    # Its errors reach whoever uses it as a library, too.
    assert [text for text in texts_of(path) if re.search(r"(?<![\w-])--[a-z]", text)] == []


@pytest.mark.parametrize("path", BOOTSTRAP, ids=name_of)
def test_bootstrap_does_not_know_the_consumer(path: Path) -> None:
    assert not roots_of(path) & {"consumer", "demo", "tests"}


@pytest.mark.parametrize("path", CONSUMER, ids=name_of)
def test_the_consumer_does_not_know_bootstrap(path: Path) -> None:
    assert not roots_of(path) & {"bootstrap", "demo", "tests"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_descriptors_know_tensorflow(path: Path) -> None:
    if not path.is_relative_to(ROOT / "neardup/descriptors"):
        assert not roots_of(path) & {"tensorflow", "keras"}


@pytest.mark.parametrize("path", NEARDUP, ids=name_of)
def test_only_the_index_knows_redis(path: Path) -> None:
    if not path.is_relative_to(ROOT / "neardup/index"):
        assert "redis" not in roots_of(path)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_importing_a_module_does_nothing(path: Path) -> None:
    for node in top_level_of(tree_of(path).body):
        assert not (isinstance(node, ast.Attribute) and node.attr in {"environ", "argv"}), ast.unparse(node)
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            assert called not in WORKING_CALLS, ast.unparse(node)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_files_stay_short(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) < MOST_LINES


def test_there_is_something_to_check() -> None:
    assert len(NEARDUP) > 15


@pytest.mark.parametrize("statement", ["import os\nX = os.environ['X']", "class A:\n  x = open('y')", "main()\nrun()"])
def test_the_check_of_imports_sees_work(statement: str) -> None:
    seen = [ast.unparse(node) for node in top_level_of(ast.parse(statement).body)]
    assert any(word in text for text in seen for word in ("environ", "open(", "run("))


def test_the_core_loads_no_heavy_library_by_itself() -> None:
    # The consumer's help answers in under half a second; TensorFlow and scikit-learn take seconds.
    script = (
        "import sys, neardup.decode, neardup.descriptors, neardup.kmeans, neardup.index.memory\n"
        "import neardup.settings.options\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, cwd=ROOT)
    assert not set(done.stdout.split()) & {"tensorflow", "keras", "sklearn", "scipy", "kafka", "matplotlib", "redis"}
