#!/bin/bash
# check.sh [STEP...]: what is too slow for every build. Steps: format scripts headers tidy asan tsan fuzz cuda
# (default: all). Each runs even if an earlier one failed; the last line counts.
# FUZZ_SECONDS (60): how long each fuzz target runs.
set -euo pipefail
cd "$(dirname "$0")/.."

check_format() {
  local bad
  bad=$(scripts/sources.sh | xargs clang-format --dry-run 2>&1 | grep -oE '^[^:]+:[0-9]+:[0-9]+: warning: ' | cut -d: -f1 | sort -u || true)
  [ -z "$bad" ] || { printf 'not formatted (make format): %s\n' "$bad"; return 1; }
}

check_scripts() { shellcheck scripts/*.sh .ci/run; }

# Every header compiles by itself, so that it can be included first. Where its own source does that, every build shows it;
# the others are tried here.
lone_headers() {
  local header source
  scripts/sources.sh | grep '\.h$' | while read -r header; do
    source=${header%.h}.cc
    if [ -f "$source" ] && [ "$(grep -m1 '^#include' "$source")" = "#include \"${header#src/}\"" ]; then continue; fi
    echo "$header"
  done
}
check_headers() {
  scripts/build.sh tidy sheaf_proto
  lone_headers | xargs -P "$(nproc)" -I{} bash -c '
    echo "#include \"{}\"" | g++ -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-psabi -Wno-missing-field-initializers -DSHEAF_SOURCE_DIR=\"\" -DSHEAF_BIN_DIR=\"\" \
      -I. -Isrc -isystem build/tidy/proto -x c++ - ||
      { echo "{} does not compile by itself"; exit 1; }'
  # Built for cards alone, where there is a toolkit.
  g++ -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-psabi -Wno-missing-field-initializers -Isrc tests/cuda/card_*.cc
}

# Our sources but for tests, each by itself and without precompiled headers: it has to include what it uses.
check_tidy() {
  scripts/build.sh tidy sheaf_proto
  local files
  files=$(scripts/sources.sh | grep -E '^(src|apps)/.*\.cc$' | grep -vE '_(test|fuzz|bench)\.cc$' | paste -sd'|')
  run-clang-tidy -quiet -extra-arg=-Wno-unknown-warning-option -j "$(nproc)" -p build/tidy "^$PWD/($files)\$" 2>&1 |
    sed -E '/^(clang-tidy|[0-9]+ warnings? generated|Suppressed|Use -header-filter)|^$/d'
}

# The unit tests of what parses or has threads; tests of programs as a whole are `make test`'s.
check_asan() {
  scripts/build.sh asan all
  ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1 \
    LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0 \
    ctest --test-dir build/asan --no-tests=error --output-on-failure --parallel "$(nproc)"
}
# At its exit the sanitizer would sleep for a second, in which a replica seems to hang. Libraries of Debian are not
# built for it: what they do among themselves is not reported (nor slowed 20-fold by thousands of reports). What a single
# thread computes races with nobody, and would take minutes: it is asan's. (DetectMachine changes the mask of its own
# thread alone, and the sanitizer has another.)
check_tsan() {
  local threaded=(channel core fleet kernels replica router server slices slices_nvml_simulation telemetry tokenizer)
  scripts/build.sh tsan "${threaded[@]/%/_test}"
  GTEST_FILTER='-*_threads_1:*WordScanner*:Bpe.*:Unigram.*:Regex.*:Precompiled.*:Mig*:Nvml.*:SamplerTest.OlderDriversTellLess:DetectMachine.*' \
    TSAN_OPTIONS=atexit_sleep_ms=0:ignore_noninstrumented_modules=1:suppressions=$PWD/tests/tsan.supp:second_deadlock_stack=1 \
    ctest --test-dir build/tsan --no-tests=error --output-on-failure --parallel "$(nproc)" \
    --tests-regex "^($(IFS='|' && echo "${threaded[*]}"))\$"
}

# Inputs to start from lie in tests/corpus/TARGET; what the fuzzer adds stays in build/.
fuzz_one() {
  local target=$1 out=build/fuzz/corpus/$1
  mkdir -p "$out"
  local corpus=("$out")
  if [ -d "tests/corpus/$target" ]; then corpus+=("tests/corpus/$target"); fi
  LSAN_OPTIONS=suppressions=$PWD/tests/lsan_fuzz.supp:print_suppressions=0 \
    "build/fuzz/bin/$target" -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=3000 -timeout=10 \
    -artifact_prefix="build/fuzz/$target-" "${corpus[@]}" >"build/fuzz/$target.log" 2>&1 ||
    { tail -60 "build/fuzz/$target.log"; return 1; }
  echo "$target: $(grep -o 'Done .*' "build/fuzz/$target.log")"
}
check_fuzz() {
  local targets
  mapfile -t targets < <(find src -name '*_fuzz.cc' -exec basename {} .cc \; | sort)
  [ "${#targets[@]}" -gt 0 ] || { echo "no fuzz targets"; return 1; }
  scripts/build.sh fuzz "${targets[@]}"
  export -f fuzz_one
  printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -euo pipefail -c 'fuzz_one {}'
}

# Compiles, where `make cuda` has brought the toolkit; running it needs a card.
check_cuda() {
  [ -d build/cuda-toolkit ] || { echo "skipped: no toolkit (make cuda)"; return 0; }
  scripts/cuda.sh
  [ ! -d build/cuda-12-toolkit ] || scripts/cuda.sh 12
}

# A step runs in a shell of its own: `set -e` does not hold inside the condition of an `if`.
if [ "${1:-}" = --step ]; then "check_$2"; exit; fi

scripts/setup.sh run test check
steps=("$@")
[ "$#" -gt 0 ] || steps=(format scripts headers tidy asan tsan fuzz cuda)
failed=()
mkdir -p build/check
for step in "${steps[@]}"; do
  started=$SECONDS
  echo "== $step"
  result=passed
  bash scripts/check.sh --step "$step" 2>&1 | tee "build/check/$step.log" || { result=FAILED && failed+=("$step"); }
  echo "== $step $result after $((SECONDS - started)) s"
done
for step in "${failed[@]}"; do  # again, for who sees the end of a long log only
  printf '== %s failed:\n' "$step"
  tail -n 40 "build/check/$step.log"
done
echo "$((${#steps[@]} - ${#failed[@]})) passed, ${#failed[@]} failed"
[ "${#failed[@]}" -eq 0 ]
