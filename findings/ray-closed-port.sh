#!/usr/bin/env bash
# ray.init(address=...) does not take a refused connection for an answer: where nobody listens it tries for many minutes,
# saying so in warnings alone, before it raises ConnectionError.
# Seen with ray 2.60.0 and Python 3.11: after 120 s no error yet; left alone, ConnectionError after 822 s. A plain
# connect to the same port is refused within 0.01 s.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check ray==2.60.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$folder/asked.py" <<'PYTHON'
import logging
import socket
import sys
import time

import ray

port = int(sys.argv[1])
began = time.monotonic()
try:
    socket.create_connection(("127.0.0.1", port), 10)
except ConnectionRefusedError:
    print(f"a plain connect: refused after {time.monotonic() - began:.2f} s", flush=True)
began = time.monotonic()
try:
    ray.init(address=f"127.0.0.1:{port}", logging_level=logging.ERROR)
except ConnectionError as error:
    print(f"ray.init: {type(error).__name__} after {time.monotonic() - began:.0f} s", flush=True)
PYTHON
export RAY_USAGE_STATS_ENABLED=0
code=0
timeout --signal=KILL 120 "$folder/venv/bin/python" "$folder/asked.py" "$port" > "$folder/said" 2> "$folder/warnings" || code=$?
cat "$folder/said"
sed 's/^/warning: /' "$folder/warnings" | head -3
test "$code" -eq 137 || { echo "changed: ray.init gave up within 120 s"; exit 1; }
grep -q "a plain connect: refused" "$folder/said"
grep -q "Failed to connect to GCS at address" "$folder/warnings"
echo "as before: still trying after 120 s"
