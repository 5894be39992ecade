"""Where the tests' browser comes from."""

import os
from pathlib import Path

import pytest

from demo.services import ServiceUnavailable, find_chromium
from tests.integration.test_services import put_script


def environ_of(folder: Path) -> dict[str, str]:
    return {"PATH": f"{folder}/bin", "XDG_CACHE_HOME": str(folder / "cache")}


def test_one_on_the_path_comes_before_any_other(tmp_path: Path) -> None:
    put_script(tmp_path / "bin", "apt-get", "exit 100")
    put_script(tmp_path / "bin", "google-chrome")
    put_script(tmp_path / "bin", "chromium")
    assert find_chromium(environ_of(tmp_path), print) == tmp_path / "bin/chromium"


def test_root_installs_it_with_a_font_after_renewing_the_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    script = 'echo "$@" >> "$0.asked"\ncase "$*" in *install*) ln -s /bin/true "${0%/*}/chromium";; esac'
    put_script(tmp_path / "bin", "apt-get", "PATH=/usr/bin:/bin", script)
    said: list[str] = []
    assert find_chromium(environ_of(tmp_path), said.append) == tmp_path / "bin/chromium"
    assert find_chromium(environ_of(tmp_path), said.append) == tmp_path / "bin/chromium"
    renewed, installed = (tmp_path / "bin/apt-get.asked").read_text().splitlines()
    assert renewed.endswith(" update")
    assert installed.endswith(" install -y --no-install-recommends chromium fonts-dejavu-core")
    assert [line.split()[1] for line in said] == ["none", "installing", "running", "running"]


def test_a_failing_apt_get_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    put_script(tmp_path / "bin", "apt-get", "echo 'E: no route' >&2; exit 100")
    with pytest.raises(ServiceUnavailable, match=r"^Chromium: apt-get could not get it: E: no route$"):
        find_chromium(environ_of(tmp_path), print)


def test_who_is_not_root_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    put_script(tmp_path / "bin", "apt-get", "exit 0")
    with pytest.raises(ServiceUnavailable, match=r"apt-get install chromium$"):
        find_chromium(environ_of(tmp_path), print)


def test_without_a_package_manager_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match=r"^Chromium: none on the path, and no apt-get"):
        find_chromium(environ_of(tmp_path), print)
