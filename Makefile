# A thin front to Bazel, for a Debian 12 that has nothing but git, make, apt and npm's registry.
#   make demo    build everything, start a mail world and rcptd on it, verify a list, show the result
#   make test    all tests
#   make fuzz SECONDS=60 [TARGET=reply]   fuzz targets, each that long
#   make lint    formatting, banned calls, includes against the floors
#   make run CONFIG=FILE   the daemon
#   make bench   what it takes on this machine (docs/PERFORMANCE.md)
.PHONY: demo test lint run bench build deps unit property integration fuzz tsan clean
.DEFAULT_GOAL := help

BAZEL_FLAGS ?= --config=opt

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '2,8p'

deps:
	@tools/deps build

build: deps
	@tools/build build $(BAZEL_FLAGS) //server:rcptd //cli:rcptctl //tests/world

demo: build
	@tools/demo

test: deps
	@tools/deps test fuzz
	@tools/test

unit: deps
	@tools/test unit

property: deps
	@tools/test property

integration: deps
	@tools/deps test
	@tools/test integration

SECONDS ?= 10
fuzz: deps
	@tools/deps fuzz
	@tools/fuzz $(SECONDS) $(TARGET)

tsan: deps
	@tools/deps test fuzz
	@tools/test tsan

lint:
	@tools/deps lint
	@tools/lint

run: build
	@test -n "$(CONFIG)" || { echo "usage: make run CONFIG=FILE" >&2; exit 2; }
	@exec bazel-bin/server/rcptd --config "$(CONFIG)"

bench: build
	@tools/deps test
	@tools/build build $(BAZEL_FLAGS) //tests/bench:bare
	@tools/bench

clean:
	@tools/build clean
