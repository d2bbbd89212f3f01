#!/bin/sh
# Each public header compiles alone, as C11 and as C++17, and rlx.h also in a program that uses the
# short words of ops.def for macros of its own: headers.sh INCLUDE-FOLDER CC CXX
set -eu
include=$1 cc=$2 cxx=$3
compile() { # the program is read from standard input
  program=$(cat)
  warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion -Werror"
  echo "$program" | $cc -x c -std=c11 $warnings -I "$include" -fsyntax-only -
  echo "$program" | $cxx -x c++ -std=c++17 $warnings -I "$include" -fsyntax-only -
}
for header in "$include"/rlx/*.h; do
  echo "#include <rlx/$(basename "$header")>" | compile
done

words="LEAF OP OP0 U UX UX0 P B C FL IN UN BO CX NONE NOGRAD K T N PLAIN COMM MOVE EMPTY INPUT PARAM"
{
  for word in $words; do echo "#define $word ($word is taken)"; done
  echo "#include <rlx/rlx.h>"
  echo "#define TEXT_OF(x) #x"
  echo "#define TEXT(x) TEXT_OF(x)"
  for word in $words; do
    echo "typedef char kept_$word[sizeof TEXT($word) == sizeof \"($word is taken)\" ? 1 : -1];"
  done
} | compile
