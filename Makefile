# Works from a fresh clone with Go, make and git. `make help` lists the targets.

GO    ?= go
BIN   ?= bin
TOOLS := -modfile=internal/tools/go.mod

# How long `make fuzz` runs each target and `make soak` goes on. How often `make bench` measures the library, and the
# longest sync that it measures, each once.
FUZZTIME   ?= 30s
SOAK       ?= 10m
BENCHCOUNT ?= 6
LONGEST    ?= 70s

.DEFAULT_GOAL := help
.PHONY: help build test test-slow fuzz soak bench lint demo screenshot generate

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; \
	done

build: ## put baton-segment, the simulator and the baton CLI into bin/
	@mkdir -p $(BIN)
	$(GO) build -o $(BIN)/ ./cmd/...
	$(GO) build $(TOOLS) -o $(BIN)/ github.com/conductorone/baton-sdk/cmd/baton

demo: build ## read a simulated workspace and show who has which role
	@$(GO) run ./internal/demo -bin $(BIN)

screenshot: build ## retake the picture of the explorer for the README, with Chromium
	@mkdir -p .github
	@$(GO) run ./internal/demo -bin $(BIN) -screenshot .github/explorer.png

# Results are not taken from the cache: some tests run programs that they build, and Go does not see those sources.
define gotest
	@race=-race; \
	cc=$$($(GO) env CC); \
	if [ "$$($(GO) env CGO_ENABLED)" != 1 ] || ! command -v "$${cc%% *}" >/dev/null; then \
		race=; \
		echo "test: NO RACE DETECTOR: it needs cgo and a C compiler ($$cc), and this machine does not offer both"; \
	fi; \
	set -x; \
	$(GO) test $$race -count=1
endef

test: ## run every test, with the race detector if there is a C compiler
	$(gotest) -timeout=20m ./...

test-slow: ## run what takes minutes: properties with many more cases, and simulated hours in full
	$(gotest) -timeout=60m -v -run='AnHour|KeepToTheModel|UnderFaults' ./segmentapi -slow -rapid.checks=1000
	$(gotest) -timeout=60m -v -run='AnyWorkspace|AnyFaults' ./internal/e2e -rapid.checks=400

soak: ## sync and provision under random faults for SOAK (10m), and show that nothing grows
	$(gotest) -timeout=0 -v -run='^TestSoak$$' ./internal/e2e -soak=$(SOAK)

# The first run compiles everything anew, with the fuzzer's instrumentation. What a target finds stays in testdata/fuzz
# and is a case of `make test` from then on. Making inputs smaller would take most of the time if it could.
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; for package in ./segmentapi ./connector ./internal/contract; do \
		names=$$($(GO) test -list '^Fuzz' $$package); \
		for name in $$(echo "$$names" | grep '^Fuzz'); do \
			echo "$(GO) test -run '^$$' -fuzz '^$$name\$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package; \
		done; \
	done

bench: ## measure the library beside the official client, and whole syncs beside the least that baton-sdk takes
	$(GO) test -run='^$$' -bench=. -count=$(BENCHCOUNT) ./segmentapi
	$(GO) test -run='^$$' -bench=ColdStart -count=$(BENCHCOUNT) ./internal/e2e
	$(GO) test -run='^$$' -bench=Sync -benchtime=1x -timeout=0 ./internal/e2e -longest=$(LONGEST)

lint: ## vet, tidiness of both modules, golangci-lint, known vulnerabilities
	$(GO) vet ./...
	$(GO) mod tidy -diff
	cd internal/tools && $(GO) mod tidy -diff
	$(GO) tool $(TOOLS) golangci-lint run ./...
	@echo "$(GO) tool $(TOOLS) govulncheck ./..."; \
	out=$$($(GO) tool $(TOOLS) govulncheck ./... 2>&1); code=$$?; \
	case "$$code:$$out" in \
		0:*) echo "$$out" ;; \
		*"fetching vulnerabilities"*) echo "lint: VULNERABILITY CHECK SKIPPED: its database cannot be reached" ;; \
		*) echo "$$out"; exit $$code ;; \
	esac

generate: ## rewrite golden files, baton_capabilities.json, config_schema.json and the tables of the guide
	$(GO) test -count=1 ./internal/arch ./internal/e2e -update

.PHONY: try-client
try-client: ## test with another official client, CLIENT=<version or folder>, and show what it changes
	@$(GO) run ./internal/tryclient '$(CLIENT)' ./internal/contract ./segmentapi
