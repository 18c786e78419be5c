# Two commands: `make demo` and `make test`. Everything else is a part of them or their longer form.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
JOBS   ?= 2

.PHONY: demo test test-full lint vectors mutate venv clean

venv: $(VENV)/ready

$(VENV)/ready: pyproject.toml setup.py constraints.txt
	@case "$$PWD" in *[!A-Za-z0-9/._+~@=,-]*) echo "the checkout's path may hold letters of ASCII, digits and /._+~@=,- alone," \
	"since make and Verilator quote no others: move $$PWD" >&2; exit 1;; esac
	@for tool in g++ perl $(PYTHON); do command -v $$tool >/dev/null || \
	{ echo "$$tool is missing: apt-get install g++ make perl python3-venv" >&2; exit 1; }; done
	@echo "== environment (pip, about 2 GB, a minute or two) =="
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --progress-bar on --disable-pip-version-check -c constraints.txt -e '.[chips,hardware,test,diffusers,onnx,census,video]'
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

# which small wrong changes of the RTL the tests notice: make mutate MODULE=fifo N=60 SEED=1
mutate: venv
	@$(BIN)/python -m tests.mutation $(MODULE) --count $(or $(N),60) --seed $(or $(SEED),1)

# caches alone: out/ holds what the user made
clean:
	@rm -rf build
