#!/bin/sh
# Each public header compiles alone, as C11 and as C++17: headers.sh INCLUDE-FOLDER CC CXX
set -eu
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror"
for header in "$1"/rlx/*.h; do
  text="#include <rlx/$(basename "$header")>"
  echo "$text" | $2 -x c -std=c11 $warnings -I "$1" -fsyntax-only -
  echo "$text" | $3 -x c++ -std=c++17 $warnings -I "$1" -fsyntax-only -
done
