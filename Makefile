# Every target is a script of scripts/, which also run by themselves.
TARGETS := help run build cuda release-cuda cuda-12 gpu-bundle test check soak differential bench bench-peers format \
           install package package-cuda clean
.PHONY: $(TARGETS)
.DEFAULT_GOAL := help

# Make would come to a word that is no target only once `run` has ended: said before anything is done.
UNKNOWN := $(filter-out $(TARGETS),$(MAKECMDGOALS))
ifneq ($(UNKNOWN),)
  $(error no target is called $(firstword $(UNKNOWN)); flags go in ARGS, as in: make run ARGS='--port 8585')
endif

PREFIX ?= /usr/local
ARGS ?=
FUZZ_SECONDS ?= 60
export FUZZ_SECONDS

help:
	@echo "sheaf: many replicas of a model behind one endpoint."
	@echo "On a fresh Debian 12 these two suffice:"
	@echo
	@echo "  make run           installs what is missing, builds, gets all-MiniLM-L6-v2,"
	@echo "                     serves it on port 8080; flags of 'sheaf serve' in ARGS:"
	@echo "                     make run ARGS='--num-replicas 4'"
	@echo "  make test          the same set-up, then all ordinary tests (15 minutes the"
	@echo "                     first time)"
	@echo
	@echo "  make build         build/release/bin/sheaf and sheaf-replica"
	@echo "  make cuda          sheaf-replica-cuda in build/cuda/bin, for H100 and H200;"
	@echo "                     needs no card (docs/cuda.md)"
	@echo "  make release-cuda  for all cards from Ampere on, in build/cuda-release"
	@echo "  make cuda-12       for drivers from 525 on, Ampere to Hopper, in build/cuda-12"
	@echo "  make gpu-bundle    build/gpu-bundle.tar.gz: tests and measurements for a"
	@echo "                     machine with a card"
	@echo "  make check         format, tidy, headers, sanitizers, fuzzing (50 minutes)"
	@echo "  make soak          200 replicas killed under load, 20,000 seeds of the"
	@echo "                     simulation (half an hour)"
	@echo "  make differential  200,000 texts a kind of tokenizer against Hugging Face's"
	@echo "                     (an hour)"
	@echo "  make bench         measures a server and keeps the result as JSON"
	@echo "  make bench-peers   engine and tokenizer against packages from PyPI, in turns"
	@echo "                     (an hour, 15 GB); stages: ARGS='rerank qwen3 tokenizers'"
	@echo "  make format        applies clang-format to src, apps and tests"
	@echo "  make install       into PREFIX ($(PREFIX)), below DESTDIR if that is set"
	@echo "  make package       .deb and .tar.gz in build/package, for a bare Debian 12"
	@echo "  make package-cuda  what these lack for cards, with cuBLASLt (360 MB each)"
	@echo "  make clean         removes build/ and the Python environments, keeps models"

run:
	@scripts/run.sh $(ARGS)

build:
	@scripts/setup.sh run
	@scripts/build.sh release sheaf sheaf-replica

cuda:
	@scripts/cuda.sh

release-cuda:
	@scripts/cuda.sh release

cuda-12:
	@scripts/cuda.sh 12

gpu-bundle:
	@scripts/gpu_bundle.sh

test:
	@scripts/test.sh $(ARGS)

check:
	@scripts/check.sh $(ARGS)

soak:
	@scripts/soak.sh $(ARGS)

differential:
	@scripts/differential.sh

bench:
	@scripts/bench.sh $(ARGS)

bench-peers:
	@scripts/bench_peers.sh $(ARGS)

format:
	@scripts/setup.sh check
	@scripts/sources.sh | xargs clang-format -i

install: build
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"
	@echo "For the systemd service: install -D -m 644 $(PREFIX)/share/doc/sheaf/deploy/sheaf.yaml /etc/sheaf/sheaf.yaml"

package:
	@scripts/package.sh

package-cuda:
	@scripts/package_cuda.sh

clean:
	rm -rf build .venv .venv-clients .venv-peers
