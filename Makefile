# make            bin/sluice
# sudo make demo  the product on real traffic, in a lab of its own
# sudo make test  all tests: the kernel's need root
SHELL := /bin/bash
# sudo resets PATH, so look where Go usually lies.
GO ?= $(or $(shell command -v go 2>/dev/null),$(wildcard /usr/local/go/bin/go),$(wildcard /usr/lib/go/bin/go),go)
GOFMT ?= $(or $(wildcard $(dir $(GO))gofmt),gofmt)
export PATH := $(PATH):$(patsubst %/,%,$(dir $(GO)))
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
FUZZTIME ?= 60s

.PHONY: build demo test bench generate lint fuzz clean

build:
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION)" -o bin/sluice ./cmd/sluice

demo: build
	bin/sluice demo

# Packages run one after another: they share one kernel and two cores with the
# namespaces that they make.
test:
	$(GO) test -count=1 -p 1 -timeout 20m ./...

bench: build
	$(GO) run ./bench

# Needs clang-19, llvm-19 and libbpf-dev; the objects it makes are committed.
generate:
	$(GO) generate ./...

lint:
	@unformatted="$$($(GOFMT) -l .)"; if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) mod verify >/dev/null
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...

# Each fuzz target in turn, found by its name. Making a new input smaller may take the rest
# of the time, and then fails with "context deadline exceeded" though nothing was found:
# one attempt at it is enough.
fuzz:
	@set -e; for file in $$(grep -rlE --include='*_test.go' '^func Fuzz' .); do \
	  for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' $$file); do \
	    echo "$$(dirname $$file) $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1x ./$$(dirname $$file); \
	  done; \
	done

clean:
	rm -rf bin bench/out
