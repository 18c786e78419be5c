# Two commands: `make demo` and `make test`. Everything else is a part of them or their longer form.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

# What Python compiles is kept, whatever the environment says: hundreds of the tests' processes read it.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-full lint vectors mutate mutate-golden mutate-kernels planted formal fuzz coverage hls-coverage verification venv clean

venv: $(VENV)/ready

$(VENV)/ready: pyproject.toml setup.py constraints.txt
	@case "$$PWD" in *[!A-Za-z0-9/._+~@=,-]*) echo "the checkout's path may hold letters of ASCII, digits and /._+~@=,- alone," \
	"since make and Verilator quote no others: move $$PWD" >&2; exit 1;; esac
	@for tool in g++ perl $(PYTHON); do command -v $$tool >/dev/null || \
	{ echo "$$tool is missing: apt-get install g++ make perl python3-venv" >&2; exit 1; }; done
	@echo "== environment (pip, about 2 GB, a minute or two) =="
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --progress-bar on --disable-pip-version-check -c constraints.txt -e '.[chips,hardware,test,diffusers,onnx,census,video,panoramas]'
	@touch $@

demo: venv
	@$(BIN)/triptych demo

test: lint
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not slow and not gpu"

test-full: lint
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal -m "not gpu"

lint: venv
	@$(BIN)/python -m triptych.sim.lint

vectors: venv
	@$(BIN)/triptych vectors

# which small wrong changes of the RTL the tests notice: make mutate MODULE=fifo N=60 SEED=1, or of an engine: MODULE=vpu/
mutate: venv
	@$(BIN)/python -m tests.mutation $(MODULE) --count $(or $(N),60) --seed $(or $(SEED),1)

# the same of golden's integer code: make mutate-golden MODULE=numerics N=30
mutate-golden: venv
	@$(BIN)/python -m tests.mutation.golden $(MODULE) --count $(or $(N),30) --seed $(or $(SEED),1)

# the same of the HLS kernels' C++ in C simulation: make mutate-kernels MODULE=drs N=30
mutate-kernels: venv
	@$(BIN)/python -m tests.mutation.kernels $(MODULE) --count $(or $(N),30) --seed $(or $(SEED),1)

# the bugs that are written down by hand, one by one (docs/verification.md)
planted: venv
	@$(BIN)/python -m tests.mutation.hand $(LIST)

# proofs, what they must reach, bugs that must refute them
formal: venv
	@$(BIN)/python -m tests.formal

# random programs on the chip until the time is over; what differs is made short and kept: make fuzz MINUTES=10
fuzz: venv
	@$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) --jobs $(JOBS)

# lines, branches, expressions and toggles that the RTL's tests pass: docs/coverage.md
coverage: venv
	@$(BIN)/python -m tests.coverage

# the same of the HLS kernels' C++ in C simulation, by gcov
hls-coverage: venv
	@$(BIN)/python -m tests.hls

# docs/verification.md from what the six above left in out/
verification: venv
	@$(BIN)/python -m tests.verification

# caches alone: out/ holds what the user made
clean:
	@rm -rf build
