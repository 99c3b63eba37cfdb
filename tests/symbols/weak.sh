#!/usr/bin/env bash
# weak.sh OBJECT...: objects built for one instruction set define nothing that the linker could hand to others.
set -euo pipefail

if [[ $# == 0 ]]; then
  echo "expected object files" >&2
  exit 2
fi
if nm --defined-only --demangle "$@" | grep -E '^[0-9a-f]+ [uVvWw] '; then
  echo "the weak symbols above may be chosen for every unit of a program, also on CPUs that lack the instructions" >&2
  exit 1
fi
echo "$# objects define no weak symbol"
