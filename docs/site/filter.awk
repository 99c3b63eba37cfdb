# awk -v root=SOURCE_DIR -f filter.awk FILE: a public header or a page as Doxygen 1.9 reads it.
#
# Headers: `//` above and behind a declaration is its documentation, the first comment that of the file; what Doxygen would
# take for a command is text. Pages: headings get the anchors that they have on a forge, links go to pages and headings of
# the site, or to the repository.
function base_name(path) { sub(/.*\//, "", path); return path }

# The text with f(code span) kept and what lies between escaped.
function escaped(text,    parts, count, i, out) {
  count = split(text, parts, "`")
  out = ""
  for (i = 1; i <= count; ++i) {
    if (i % 2 == 1) {
      gsub(/[\\@#<>%&]/, "\\\\&", parts[i])
    }
    out = out (i > 1 ? "`" : "") parts[i]
  }
  return out
}

# The path of a link of this page, from the root of the repository.
function resolved(target,    folder) {
  folder = here
  while (sub(/^\.\.\//, "", target)) sub(/[^\/]*\/$/, "", folder)
  return folder target
}

function page_id(path) {
  sub(/^docs\//, "", path)
  sub(/\.md$/, "", path)
  gsub(/[^A-Za-z0-9]/, "_", path)
  return "page_" path
}

function slug(title) {
  title = tolower(title)
  gsub(/`/, "", title)
  gsub(/[^a-z0-9 _-]/, "", title)
  gsub(/ /, "-", title)
  return title
}

function site_link(target,    path, anchor) {
  if (target ~ /^[a-z]+:/) return target
  anchor = ""
  if (match(target, /#/)) {
    anchor = substr(target, RSTART + 1)
    target = substr(target, 1, RSTART - 1)
  }
  path = target == "" ? page : resolved(target)
  if (path ~ /\.(svg|png)$/) return base_name(path)
  if (path ~ /^include\/.*\.hpp$/) return "@ref " base_name(path)
  if (path ~ /^(README|CONTRIBUTING|CHANGELOG|docs\/.*)\.md$/) return "@ref " page_id(path) (anchor == "" ? "" : "__" anchor)
  if (path == "docs/benchmarks") return "@ref page_benchmarks_README"
  return "https://github.com/attune/attune/blob/main/" path
}

function linked(text,    out, target, begin, width) {
  out = ""
  while (match(text, /\]\([^)]+\)/)) {
    begin = RSTART
    width = RLENGTH
    target = substr(text, begin + 2, width - 3)
    out = out substr(text, 1, begin + 1) site_link(target) ")"
    text = substr(text, begin + width)
  }
  return out text
}

# Code between two backticks each: with one, a quotation mark would end it.
function page_line(line,    parts, count, i, out) {
  count = split(line, parts, "`")
  out = ""
  for (i = 1; i <= count; ++i) {
    if (i % 2 == 1) {
      gsub(/@/, "\\@", parts[i])
      out = out linked(parts[i])
    } else if (parts[i] ~ /\\\|/) {
      out = out "<tt>" parts[i] "</tt>"  # a bar inside of a table
    } else {
      out = out (i < count ? "``" parts[i] "``" : "`" parts[i])
    }
  }
  return out
}

# Whether a link or code of this text ends in the next line.
function is_open(text,    parts, count, i, brackets) {
  count = split(text, parts, "`")
  if (count % 2 == 0) return 1
  brackets = 0
  for (i = 1; i <= count; i += 2) brackets += gsub(/\[/, "[", parts[i]) - gsub(/\]/, "]", parts[i])
  return brackets > 0
}

FNR == 1 {
  page = substr(FILENAME, length(root) + 2)
  here = page
  sub(/[^\/]*$/, "", here)
  is_page = page ~ /\.md$/
}

is_page && /^ *```/ { fenced = !fenced; print; next }
is_page && fenced { print; next }
is_page && /^#+ / {
  title = $0
  sub(/^#+ /, "", title)
  id = title_seen++ ? page_id(page) "__" slug(title) : page_id(page)
  if (id in used) id = id "-" used[id]
  ++used[id]
  print page_line($0) " {#" id "}"
  next
}
is_page {
  sub(/^ +/, begun == "" ? "&" : "")
  begun = begun == "" ? $0 : begun " " $0
  if (NF && is_open(begun)) next
  print page_line(begun)
  begun = ""
  next
}

/^namespace attune::inline v0_1/ { print "namespace attune {"; next }
/^#pragma once/ { print; top = 1; next }
/^\/\/ SPDX/ { print ""; next }
top && /^\/\/ / { print "/// @file"; top = 0 }
/^( |  |    )?\/\/( |$)/ {
  match($0, /\/\//)
  print substr($0, 1, RSTART - 1) "///" escaped(substr($0, RSTART + 2))
  next
}
/[;,{}] *\/\/ / && !/^ *return/ {
  match($0, /[;,{}] *\/\/ /)
  code = substr($0, 1, RSTART)
  print code "  ///<" escaped(substr($0, RSTART + RLENGTH - 1))
  next
}
{ print }
