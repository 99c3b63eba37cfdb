#!/usr/bin/env bash
# library.sh LIBRARY.a: the library never prints, ends the process or keeps mutable globals.
set -euo pipefail

symbols=$(nm --demangle "$1")
failed=0

# __assert_fail is a debug build's precondition; what the compiler adds for exceptions is not named here.
if grep -E ' U (abort|exit|_exit|_Exit|quick_exit|at_quick_exit|atexit|(v|f|vf|d)?printf|f?puts|f?putc|putchar|fwrite|perror|v?syslog|__(v?f?)printf_chk|stdout|stderr|std::(cout|cerr|clog|terminate)|std::ios_base::Init::.*)(\(.*\))?(@.*)?$' <<< "$symbols"; then
  echo "the library refers to the functions above: it must not print or end the process" >&2
  failed=1
fi

# Initialised once and never written again: dispatch results and their guards, vtables.
if grep -E '^[0-9a-f]+ [BbDdC] ' <<< "$symbols" | grep -vE ' (guard variable for |DW\.ref\.)'; then
  echo "the library keeps the mutable globals above" >&2
  failed=1
fi
exit $failed
