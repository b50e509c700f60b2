# Tidemark. `make help` lists the targets.
SHELL      := /bin/bash
export CGO_ENABLED ?= 0
GO         ?= go
CACHE      := $(or $(TIDEMARK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/tidemark)
VERSION    := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS    := -s -w -X main.version=$(VERSION)
FUZZTIME   ?= 30s
export TIDEMARK_CACHE := $(CACHE)

.DEFAULT_GOAL := help
.PHONY: help build setup run demo eval test test-race fuzz crash soak bench lint generate contracts clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## make bin/tidemark and bin/sitesim
	@mkdir -p bin
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/tidemark ./cmd/tidemark
	$(GO) build -ldflags '$(LDFLAGS)' -o bin/sitesim ./cmd/sitesim

setup: ## fetch the ClickHouse engine and Anvil into the cache (done by the other targets on first use)
	@lib=$$(scripts/setup-engine.sh) && echo "setup-engine: $$lib: present"
	@scripts/setup-chain.sh

run: build setup ## collect on UDP 2055, 4739 and 6343, anchoring on a local Anvil
	bin/tidemark run --dev-chain

demo: build setup ## show the whole job on simulated devices in under three minutes
	@scripts/demo.sh

eval: build setup ## measure detection on simulated and real devices (EVAL=short: three minutes)
	@scripts/eval.sh

test: build setup ## all tests: eleven to thirteen minutes on two small CPUs
	@scripts/test.sh

test-race: setup ## the packages with goroutines under the race detector (needs gcc)
	@scripts/test.sh race

fuzz: ## every fuzz target for FUZZTIME (30s)
	@scripts/fuzz.sh $(FUZZTIME)

crash: build setup ## long runs: kill -9, every capture damaged in every bit, all captures beside the peers
	TIDEMARK_SOAK=1 $(GO) test -count=1 -timeout 120m -run 'Kill|Crash|Soak' ./storage/... ./anchor/... ./cmd/tidemark
	TIDEMARK_SOAK=1 $(GO) test -count=1 -timeout 120m -run 'EveryPrefixAndBitFlip|Totals' ./collector/...

soak: crash ## the long runs of crash; with RATE=<highest lossless rate> ten minutes at 80 % of it, then 150 %
	@if [ -n "$(RATE)" ]; then RATE=$(RATE) scripts/soak.sh; else echo "soak: without RATE= no endurance under load"; fi

bench: build setup ## the benchmarks, and the figures of docs/performance.md
	@scripts/bench.sh

lint: ## gofmt, vet, staticcheck
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) vet ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

generate: ## make the generated files anew (vendor table, bindings)
	scripts/oui.sh
	scripts/contracts.sh

contracts: ## test and compile the contract, write its bindings (forge and solc from npm)
	@scripts/contracts.sh

clean: ## remove what was built; the cache and data stay
	rm -rf bin
