#!/bin/sh
# The test suite with CPU kernels at each level of src/cpu/levels.def, and without any: levels.sh FOLDER
# A level that this CPU lacks is named and skipped. The last line reads "N passed, N failed".
set -u
folder=$1
levels=$(sed -n 's/^LEVEL(\([a-z0-9]*\),.*/\1/p' "$(dirname "$0")/../src/cpu/levels.def")
has=$("$folder/rlx" info --json | sed 's/.*"cpu_levels":\[\([^]]*\)\].*/\1/')
passed=0
failed=0

# suite NAME VARIABLE=VALUE
suite() {
  log=$folder/levels-$1.log
  env "$2" ctest --test-dir "$folder" -j "$(getconf _NPROCESSORS_ONLN)" --output-on-failure \
    -E "$once" >"$log" 2>&1
  counts=$(sed -n 's/.*tests passed, \([0-9]*\) tests* failed out of \([0-9]*\)/\1 \2/p' "$log")
  bad=${counts%% *}
  all=${counts##* }
  [ -n "$counts" ] || { bad=1; all=1; }
  passed=$((passed + all - bad))
  failed=$((failed + bad))
  echo "$1: $((all - bad)) passed, $bad failed ($log)"
  sed -n 's/^\t *[0-9]* - /    /p' "$log"
}

# What does not run a graph says the same at every level.
once='^(headers|readme|clang|base_test|ir_test|load.*|onnx_import_test|text_test|tokenizer)$'
for level in $levels; do
  case $has in
    *"\"$level\""*) suite "$level" "RLX_CPU_LEVEL=$level" ;;
    *) [ "$level" = generic ] || echo "$level: skipped, this CPU lacks it" ;;
  esac
done
suite "kernels-off" "RLX_KERNELS=off"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
