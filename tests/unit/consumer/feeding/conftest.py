"""What tests of the feed share."""

import pytest

from tests.support.feeding import Feed


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Feed:
    """Run the feed's command line; its messages go to memory."""
    return Feed(monkeypatch, capsys)
