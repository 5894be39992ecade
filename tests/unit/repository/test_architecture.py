"""Packages know what they may know, and importing a module does nothing."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from neardup.index.stored.keys import PREFIX

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("neardup", "bootstrap", "consumer")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MOST_LINES = 400
MOST_MODULES = 14
"""Of one package: more want rooms of their own."""
APPLICATIONS = ("bootstrap", "consumer")
LIBRARY = (
    *(
        "neardup/__init__.py",
        "neardup/capture_time.py",
        "neardup/cores.py",
        "neardup/describe_batch.py",
        "neardup/engine.py",
        "neardup/errors.py",
        "neardup/processes.py",
        "neardup/secrets.py",
        "neardup/repeats.py",
    ),
    *("neardup/types.py", "neardup/wire.py", "neardup/wire_described.py", "neardup/wording.py"),
    *(f"neardup/{room}" for room in ("decoding", "descriptors", "index", "library", "relation", "search", "sources")),
)
"""What `import neardup` may load: it knows no command line, no settings and no Kafka."""
FRAME = ("neardup/__main__.py", "neardup/cli", "neardup/kafka", "neardup/report", "neardup/settings", "neardup/tidy")
"""The rest of the core: what only the commands need."""
MAY_IMPORT = {
    "argparse": ("neardup/settings", "neardup/cli"),
    "kafka": ("neardup/kafka", "consumer/transport"),
    "keras": ("neardup/descriptors",),
    "prometheus_client": ("consumer",),
    "ray": ("bootstrap",),
    "redis": ("neardup/index", "bootstrap"),
    "tensorflow": ("neardup/descriptors",),
    "bootstrap": ("bootstrap",),
    "consumer": ("consumer",),
    "demo": (),
    "tests": (),
    "neardup.cli": ("neardup/__main__.py", "neardup/cli", *APPLICATIONS),
    "neardup.kafka": ("neardup/kafka", *APPLICATIONS),
    "neardup.library": ("neardup/__init__.py", "neardup/library"),
    "neardup.settings": ("neardup/settings", "neardup/cli", *APPLICATIONS),
    "neardup.report": ("neardup/report", *APPLICATIONS),
    "neardup.tidy": ("neardup/tidy", "neardup/report", *APPLICATIONS),
}
"""By library or package: the rooms that may import it. What is not listed may be imported anywhere."""
# Words whose use reaches outside the process; a module that says them at its top level works at import.
WORKING_CALLS = {"getenv", "open", "mkdir", "connect", "parse_args", "basicConfig", "start", "run", "print", "system"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@cache
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


def imports(path: Path, package: str) -> list[str]:
    """Return what a module imports of a package."""
    return [name for name in imports_of(path) if f"{name}.".startswith(f"{package}.")]


def is_in(path: Path, rooms: tuple[str, ...]) -> bool:
    """Say whether a module is one of these, or stands below one of these packages."""
    return any(path.is_relative_to(ROOT / room) for room in rooms)


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


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_what_its_room_may(path: Path) -> None:
    forbidden = [package for package, rooms in MAY_IMPORT.items() if not is_in(path, rooms)]
    assert [name for package in forbidden for name in imports(path, package)] == []


def test_each_module_of_the_core_has_its_place() -> None:
    core = [path for path in MODULES if is_in(path, ("neardup",))]
    assert [name_of(path) for path in core if not is_in(path, LIBRARY) and not is_in(path, FRAME)] == []
    assert all((ROOT / room).exists() for room in (*LIBRARY, *FRAME))


@pytest.mark.parametrize("path", [path for path in MODULES if is_in(path, LIBRARY)], ids=name_of)
def test_the_library_never_reads_the_environment(path: Path) -> None:
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


@pytest.mark.parametrize("path", [path for path in MODULES if is_in(path, LIBRARY)], ids=name_of)
def test_the_library_names_no_flag(path: Path) -> None:
    # Its errors reach those who have no command line.
    assert [text for text in texts_of(path) if re.search(r"(?<![\w-])--[a-z]", text)] == []


def test_the_prefix_of_keys_stands_in_one_place() -> None:
    # Whoever scans for keys asks `IndexKeys`; else a test would look where nothing is, and pass.
    rooms = (*PACKAGES, "demo", "benchmarks", "tests")
    paths = [path for room in rooms for kind in ("*.py", "*.lua") for path in (ROOT / room).rglob(kind)]
    sought = f"{PREFIX}:{{"
    # Few hold it at all, and only these are worth the parsing.
    holding = [path for path in paths if sought in path.read_text("utf-8")]
    in_code = [path for path in holding if path.suffix == ".lua" or any(sought in text for text in texts_of(path))]
    assert list(map(name_of, in_code)) == []


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


@pytest.mark.parametrize("package", sorted({path.parent for path in MODULES}), ids=name_of)
def test_a_package_is_read_at_a_glance(package: Path) -> None:
    assert len([path for path in MODULES if path.parent == package and path.name != "__init__.py"]) <= MOST_MODULES


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 100


@pytest.mark.parametrize("statement", ["import os\nX = os.environ['X']", "class A:\n  x = open('y')", "main()\nrun()"])
def test_the_check_of_imports_sees_work(statement: str) -> None:
    seen = [ast.unparse(node) for node in top_level_of(ast.parse(statement).body)]
    assert any(word in text for text in seen for word in ("environ", "open(", "run("))


def test_the_core_loads_no_heavy_library_by_itself() -> None:
    # The consumer's help answers in under half a second; TensorFlow and scikit-learn take seconds.
    script = (
        "import sys, neardup.decoding.decode, neardup.descriptors, neardup.search.kmeans, neardup.index.memory\n"
        "import neardup.settings.options\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, cwd=ROOT)
    assert not set(done.stdout.split()) & {"tensorflow", "keras", "sklearn", "scipy", "kafka", "matplotlib", "redis"}
