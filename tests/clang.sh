#!/bin/sh
# Every C and C++ source compiles with clang too, warnings being errors: clang.sh ROOT MLX-INCLUDE
# Exit status 77 (skipped) where there is no clang.
set -eu
cd "$1"
clang=
for name in clang clang-19 clang-18 clang-17 clang-16 clang-15 clang-14; do
  if command -v "$name" >/dev/null; then clang=$name && break; fi
done
[ -n "$clang" ] || exit 77
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-missing-field-initializers -Werror"
flags="$warnings -fsyntax-only -DRLX_SELFTEST=1 -DRLX_OPENBLAS -I include -I src"
$clang -std=c11 -Wmissing-prototypes $flags $(pkg-config --cflags libcjson libzip cmocka openblas) \
  src/*/*.c tools/rlx/*.c tests/*.c examples/*.c
# The loops of each CPU level, with the flags of cmake/cpu.cmake.
levels=generic target=
[ "$(uname -m)" != x86_64 ] || levels="sse2 avx2 avx512 avx512vnni avx512bf16"
for level in $levels; do
  case $level in
    avx2) target="-mavx2 -mfma -mf16c" ;;
    avx512) target="$target -mavx512f -mavx512bw -mavx512vl -mavx512dq" ;;
    avx512vnni) target="$target -mavx512vnni" ;;
    avx512bf16) target="$target -mavx512bf16" ;;
  esac
  $clang -std=c11 -Wmissing-prototypes $flags -fopenmp-simd -DCPU_LEVEL=$level $target \
    src/cpu/loops/*.c
done
$clang -x c++ -std=c++20 $flags -isystem "$2" src/mlx/*.cpp bench/*.cpp
