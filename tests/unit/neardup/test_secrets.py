"""Secrets in files."""

import pickle
from pathlib import Path

import pytest

from neardup.errors import Misconfigured
from neardup.secrets import FileSecret, read_secret
from neardup.settings.reading import read_settings
from neardup.settings.redis import RedisSettings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("first\n")
    return path


def test_a_secret_that_is_rotated_is_read_anew(file: Path) -> None:
    secret = read_secret(str(file))
    assert (secret, secret.now()) == ("first", "first")
    file.write_text("second")
    assert (secret, secret.now()) == ("first", "second")


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff"])
def test_a_file_that_is_being_replaced_leaves_what_it_had(file: Path, content: bytes | None) -> None:
    secret = read_secret(str(file))
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert secret.now() == "first"
    with pytest.raises(Misconfigured) as caught:
        read_secret(str(file))
    assert "two" not in str(caught.value)


def test_a_setting_keeps_which_file_it_is_from(file: Path) -> None:
    given = read_settings(RedisSettings, ["--redis-password-file", str(file)], {}, prog="test", description="")
    for secret in (given.redis_password, pickle.loads(pickle.dumps(given)).redis_password):  # noqa: S301 - our own
        assert isinstance(secret, FileSecret)
        assert (secret, secret.path) == ("first", str(file))
