#!/usr/bin/env bash
# library.sh LIBRARY.a: the library never prints, ends the process or keeps mutable globals.
set -euo pipefail

failed=0

# What the compiler itself adds for noexcept (std::terminate) is no decision of the library.
calls='abort|exit|_exit|_Exit|quick_exit|at_quick_exit|atexit|__assert_fail'
printing='(v|f|vf|d|vd)?printf|__(v|f|vf)?printf_chk|f?puts|f?putc|putchar|perror|v?syslog|stdout|stderr|std::(cout|cerr|clog)'
if nm --undefined-only --demangle "$1" | grep -E " U ($calls|$printing|std::ios_base::Init::.*)(\(.*\))?(@.*)?$"; then
  echo "the library refers to the functions above: it must not print or end the process" >&2
  failed=1
fi

# Writable sections. Not counted: what only the loader writes (.data.rel), and a function's static, set once at first use.
if objdump --syms --demangle "$1" | sed 's/(anonymous namespace)::/::/g' |
  grep -E '\s\.(bss|tbss|tdata|data)(\.\S*)?\s' | grep -vE '\s\.data\.rel' | grep -vE '\)( const)?::|guard variable for|DW\.ref\.| \.\S+$'; then
  echo "the library keeps the mutable globals above" >&2
  failed=1
fi
exit $failed
