"""Where figures are kept: one file for what is measured and the descriptor it is measured by."""

import re
from pathlib import Path

from neardup.descriptors import DEFAULT

_RESULTS = Path(__file__).with_name("results")


def results_of(measured: str, spec: str, *more: str) -> Path:
    """Return the file of results of a descriptor; that of the default does not name it."""
    name = "-".join([measured, *([] if spec == DEFAULT else [spec]), *more])
    return _RESULTS / (re.sub(r"[^\w.-]+", "-", name) + ".json")  # a spec may be `copynet:some/folder`
