"""Single tools of the quality evaluation measured anew."""

import sys
from pathlib import Path

import pytest

from benchmarks.quality.__main__ import main


@pytest.mark.parametrize("kept", [None, '{"tools": [{"tool": "dct"}], "held_out": []}'])
def test_only_what_a_run_before_has_measured_is_renewed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: str | None
) -> None:
    out = tmp_path / "quality.json"
    if kept is not None:
        out.write_text(kept, "utf-8")
    monkeypatch.setattr(sys, "argv", ["quality", "--renew", "copynet", "--out", str(out)])
    with pytest.raises(SystemExit, match=r"has no copynet to renew: run make quality without --renew first"):
        main()
    assert out.exists() == (kept is not None)
