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

# What a release is for, and how its programs are built, as in .goreleaser.yaml and the Dockerfile. Nothing of the machine, the
# folder or the repository goes into them, so one commit gives the same bytes everywhere.
TARGETS ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64 windows/arm64
PROGRAMS = baton-segment segment-iam
VERSION ?= $(patsubst v%,%,$(shell git describe --tags --always --dirty --abbrev=12))
RELEASE  = CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags="-s -w -X main.version=$(VERSION)"

.DEFAULT_GOAL := help
.PHONY: help build test test-slow test-browser fuzz soak bench lint demo screenshot generate

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-16s %s\n' "$$name" "$$text"; \
	done

build: ## put baton-segment, segment-iam, the simulator and the baton CLI into bin/
	@mkdir -p $(BIN)
	$(GO) build -o $(BIN)/ ./cmd/...
	$(GO) build $(TOOLS) -o $(BIN)/ github.com/conductorone/baton-sdk/cmd/baton

demo: build ## read a simulated workspace and show who reaches what in it
	@$(GO) run ./internal/cmd/demo -bin $(BIN)

screenshot: demo ## retake the picture for the README, with Chromium and Node.js
	cd internal/browser && npm ci --no-progress && node pictures.mjs ../../.github readme

# race makes -race the value of the shell variable race, if this machine can run the race detector.
define race
@race=-race; \
	cc=$$($(GO) env CC); \
	if [ "$$($(GO) env CGO_ENABLED)" != 1 ] || ! command -v "$${cc%% *}" >/dev/null; then \
		race=; \
		echo "test: NO RACE DETECTOR: it needs cgo and a C compiler ($$cc), and this machine does not offer both"; \
	fi; \
	set -x;
endef

# Results are not taken from the cache: some tests run programs that they build, and Go does not see those sources.
gotest = $(race) $(GO) test $$race -count=1

# The race detector is on wherever the product runs in the process of the test. Most tests of internal/e2e run programs
# instead, which are built without it; their process has only the simulator, whose own tests have it. A test of
# internal/e2e either matches this pattern or is skipped by it, so each runs once. TestRead_EveryFault, a long
# table of syncs, goes without: TestAnyFaultsEndInACompleteFileOrAnError has the same faults under the race detector.
INPROCESS := ^Test(InProcess_|Any|Sync_AnswersWithoutRows|Soak$$|SecretsStayOutOfTheSession$$)

test: ## run every test, with the race detector if there is a C compiler
	@$(MAKE) --no-print-directory --jobs=3 test-inprocess test-packages test-programs

.PHONY: test-compile test-inprocess test-packages test-programs
# Otherwise the next two targets, which run at the same time, would both compile every package. go list -export compiles,
# and unlike go build it does not link the programs.
test-compile:
	$(race) $(GO) list $$race -export ./... >/dev/null

test-inprocess test-packages: test-compile
test-inprocess:
	$(gotest) -timeout=30m -run='$(INPROCESS)' ./internal/e2e

test-packages:
	$(gotest) -timeout=30m $$($(GO) list ./... | grep -v '/internal/e2e$$')

test-programs:
	$(GO) test -count=1 -timeout=30m -skip='$(INPROCESS)' ./internal/e2e

test-slow: ## run what takes minutes: properties with many more cases, long tables and simulated hours in full
	$(gotest) -timeout=60m -v -run='AnHour|Interleaved|KeepToTheModel|UnderFaults' ./segmentapi -slow -rapid.checks=1000
	$(GO) test -count=1 -timeout=60m -v -run='EveryFault|AnswersWithoutRows|InterruptedResumes|WhateverTheRunWaitsFor' ./internal/e2e -slow
	$(gotest) -timeout=60m -v -run='AnyWorkspace|AnyFaults' ./internal/e2e -rapid.checks=400

test-browser: demo ## test the pages of segment-iam with Chromium and Node.js (18 or later)
	cd internal/browser && npm ci --no-progress && node --test --test-timeout=120000

soak: ## sync and provision under random faults for SOAK (10m), and show that nothing grows
	$(gotest) -timeout=0 -v -run='^TestSoak$$' ./internal/e2e -soak=$(SOAK)

# The first run compiles everything anew, with the fuzzer's instrumentation. What a target finds stays in testdata/fuzz
# and is a case of `make test` from then on. Making inputs smaller would take most of the time if it could.
fuzz: ## run each fuzz target for FUZZTIME (30s)
	@set -e; for package in ./segmentapi ./segmentapi/access ./connector ./internal/contract; do \
		names=$$($(GO) test -list '^Fuzz' $$package); \
		for name in $$(echo "$$names" | grep '^Fuzz'); do \
			echo "$(GO) test -run '^$$' -fuzz '^$$name\$$' -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package"; \
			$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s $$package; \
		done; \
	done

bench: ## measure the library beside the official client, and syncs, answers and pages
	$(GO) test -run='^$$' -bench=. -count=$(BENCHCOUNT) ./segmentapi
	$(GO) test -run='^$$' -bench=ColdStart -count=$(BENCHCOUNT) ./internal/e2e
	$(GO) test -run='^$$' -bench=Sync -benchtime=1x -timeout=0 ./internal/e2e -longest=$(LONGEST)
	$(GO) test -run='^$$' -bench=Answers -benchtime=1x -timeout=0 ./internal/e2e
	$(GO) test -run='^$$' -bench=Serve -benchtime=5x ./cmd/segment-iam/internal/page

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
	$(GO) test -count=1 ./internal/arch ./internal/e2e ./cmd/segment-iam -update

.PHONY: try-client
try-client: ## test with another official client, CLIENT=<version or folder>, and show what it changes
	@$(GO) run ./internal/cmd/tryclient '$(CLIENT)' ./internal/contract ./segmentapi

.PHONY: lambda release-snapshot
# A function gets no arguments, so a zip file has a bootstrap that gives them. An image names the command itself.
lambda: ## build bin/lambda/ARCH, to be zipped for AWS Lambda (provided.al2023)
	@set -e; for target in $(filter linux/%,$(TARGETS)); do \
		arch=$${target#*/}; out=$(BIN)/lambda/$$arch; \
		echo "lambda: $$out"; \
		GOOS=linux GOARCH=$$arch $(RELEASE) -tags=baton_lambda_support -o $$out/baton-segment ./cmd/baton-segment; \
		printf '#!/bin/sh\nexec ./baton-segment lambda\n' >$$out/bootstrap; \
		chmod 755 $$out/bootstrap; \
	done

release-snapshot: ## build the programs of a release into bin/release, without goreleaser and network
	@rm -rf $(BIN)/release
	@set -e; for target in $(TARGETS); do \
		for program in $(PROGRAMS); do \
			os=$${target%/*}; arch=$${target#*/}; out=$(BIN)/release/$${program}_$${os}_$$arch; \
			if [ $$os = windows ]; then out=$$out.exe; fi; \
			echo "release: $$out"; \
			GOOS=$$os GOARCH=$$arch $(RELEASE) -o $$out ./cmd/$$program; \
		done; \
	done
	@sum=$$(command -v sha256sum || echo 'shasum -a 256'); cd $(BIN)/release && $$sum $(PROGRAMS:=_*) >SHA256SUMS
	@if command -v syft >/dev/null; then \
		set -e; for program in $(addprefix $(BIN)/release/,$(PROGRAMS:=_*)); do syft scan "file:$$program" -o "spdx-json=$$program.sbom.json"; done; \
	else \
		echo "release: SBOM SKIPPED: it needs syft, and this machine does not have it"; \
	fi
