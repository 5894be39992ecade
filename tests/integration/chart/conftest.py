"""What the tests of the chart share: the cases, each rendered once."""

from pathlib import Path

import pytest
import yaml

from tests.support import chart
from tests.support.chart import EXAMPLES, NOTHING, Document, Manifests

CASES: dict[str, Document] = {
    "defaults": {},
    **{path.stem: chart.example(path.stem) for path in sorted(EXAMPLES.glob("*.yaml"))},
    "nothing": NOTHING,
}


@pytest.fixture(scope="session")
def texts(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what Helm makes of each case."""
    return {name: chart.render(helm, given, tmp_path_factory.mktemp(name)) for name, given in CASES.items()}


@pytest.fixture(scope="session")
def rendered(texts: dict[str, str]) -> dict[str, Manifests]:
    """Return the same as documents."""
    return {name: [each for each in yaml.safe_load_all(text) if each] for name, text in texts.items()}


@pytest.fixture(params=CASES)
def manifests(request: pytest.FixtureRequest, rendered: dict[str, Manifests]) -> Manifests:
    """Return the documents of each case in turn."""
    return rendered[request.param]
