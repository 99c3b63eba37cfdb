# awk -v given=DIRECTORY -f cpp_blocks.awk PAGE.md...: one C++ program of all ```cpp blocks of these pages.
#
# The blocks of a page are one function. Each opens a scope inside the one before it, so that a block may use what earlier
# ones declared, and declare it anew. What a page leaves to its host stands in given.hpp, and what that page alone does
# in given/PAGE.inc, at the beginning of the function. Includes go to the top; a block with a main() is a program of its
# own, which the function calls. A comment before the block changes that:
#   <!-- snippet: compiled -->    compiled, but not run: it needs a network, a device, or what a page cannot have
#   <!-- snippet: none -->        neither; the reason stands behind it
function page_of(file) {
  sub(/.*\//, "", file)
  sub(/\.md$/, "", file)
  gsub(/[^A-Za-z0-9]/, "_", file)
  return file
}

function begin_page() {
  page = page_of(FILENAME)
  pages[++count] = page
  include = given "/" page ".inc"
  if ((getline line < include) > 0) bodies[page] = "#include \"" include "\"\n"
  close(include)
  marker = ""
}

FNR == 1 { begin_page() }

/^<!-- snippet: / { marker = $3; next }

/^```cpp$/ {
  inside = marker == "none" ? 2 : 1
  closing[page] = closing[page] ""
  block = "#line " FNR + 1 " \"" FILENAME "\"\n"
  whole = 0
  next
}

/^```/ && inside {
  if (inside == 1) {
    ++blocks
    if (whole) {
      sub(/}\n$/, "return 0;\n}\n", block)
      programs = programs "namespace program_" blocks " {\n" block "}\n"
      block = "if (program_" blocks "::main() != 0) throw std::runtime_error(\"a status other than 0\");\n"
    }
    if (marker == "compiled") {
      bodies[page] = bodies[page] "[[maybe_unused]] auto not_run_" blocks " = [&] {\n" block "};\n"
    } else {
      bodies[page] = bodies[page] "{\n" block
      closing[page] = closing[page] "}"
    }
  }
  inside = 0
  marker = ""
  next
}

inside == 1 {
  if (/^#include/) {
    if (!($2 in included)) includes = includes $0 "\n"
    included[$2]
    block = block "\n"  # keeps the numbers of the lines
  } else {
    if (/^int main\(/) whole = 1
    block = block $0 "\n"
  }
  next
}

NF { marker = "" }

END {
  printf "%s#include \"%s.hpp\"\n%s", includes, given, programs
  for (i = 1; i <= count; ++i) {
    if (pages[i] in closing) {
      printf "void page_%s() {\n%s%s\n}\n", pages[i], bodies[pages[i]], closing[pages[i]]
      table = table "    {\"" pages[i] "\", page_" pages[i] "},\n"
    }
  }
  printf "int main(int, char** argv) {\n  return run_page(argv[1], {\n%s  });\n}\n", table
}
