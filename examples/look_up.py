"""Ask a running `neardup serve` whether it knows pictures like yours, and have them judged.

    neardup serve
    python examples/look_up.py photo.jpg more.jpg
    python examples/look_up.py --judge photo.jpg

It needs nothing but Python. A look-up changes nothing; `--judge` makes a unique picture a member. The key is made of
the file's name and bytes: sent again, after a crash or because an answer was lost, it gets the same verdict, and is not
a duplicate of itself (docs/serve.md). If the service says 503 it has too much to do, or waits for Redis: it is asked
again when it says.
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

URL = os.environ.get("NEARDUP_URL", "http://127.0.0.1:8108")
TOKEN = os.environ.get("NEARDUP_TOKEN", "")
ATTEMPTS = 20


def asked(path: str, image: bytes, headers: dict[str, str]) -> dict[str, Any]:
    """Return the answer to an image, or the problem with it."""
    headers = {"Content-Type": "application/octet-stream", **headers}
    if TOKEN:
        headers["Authorization"] = f"Bearer {TOKEN}"
    for attempt in range(ATTEMPTS):
        try:
            with urlopen(Request(URL + path, image, headers), timeout=60) as answer:  # noqa: S310 - our own service
                return dict(json.loads(answer.read()))
        except HTTPError as error:
            with error:
                if "Retry-After" not in error.headers or attempt == ATTEMPTS - 1:
                    return dict(json.loads(error.read()))
                time.sleep(float(error.headers["Retry-After"]))
    raise AssertionError


def told(name: str, answer: dict[str, Any]) -> str:
    """Return a line about a picture; names are escaped, as they may hold anything."""
    if "verdict" not in answer:
        return f"{name!a}: {answer['detail']!a}"
    nearest = [f"{each['image_id']!a} ({each['why']})" for each in answer.get("neighbours", [])[:1]]
    of = f" of {answer['duplicate_of']!a}" if answer["duplicate_of"] else ""
    return f"{name!a}: {answer['verdict']}{of}" + "".join(f"; nearest is {each}" for each in nearest)


def main() -> None:
    """Look up, or judge, what the command line names."""
    judge = "--judge" in sys.argv
    for name in (each for each in sys.argv[1:] if each != "--judge"):
        image = Path(name).read_bytes()
        path = f"/{'judge' if judge else 'lookup'}?image_id={quote(name)}"
        key = hashlib.sha256(os.fsencode(name) + b"\0" + image).hexdigest()
        print(told(name, asked(path, image, {"Idempotency-Key": key})))


if __name__ == "__main__":
    main()
