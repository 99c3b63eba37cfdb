// SPDX-License-Identifier: Apache-2.0
#include "cli/html.hpp"

#include <nlohmann/json.hpp>
#include <utility>

namespace attune::cli {
namespace {

constexpr const char* kPageStyle = R"(  :root { color-scheme: light dark; }
  body { margin: 0 auto; max-width: 62rem; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif; color: #1f2328;
    background: #ffffff; overflow-wrap: break-word; }
  h1, h2, h3 { line-height: 1.25; }
  h2 { margin: 2.5rem 0 0.5rem; border-top: 1px solid #d8dee4; padding-top: 1.5rem; }
  a { color: inherit; }
  nav ul, .legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: 0.25rem 1rem; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; font-size: 0.9rem; margin: 0.5rem 0 1rem; }
  caption, figcaption, dd { color: #59636e; font-size: 0.9rem; text-align: left; }
  caption { padding: 0.25rem 0; }
  th, td { padding: 0.2rem 0.8rem 0.2rem 0; border-bottom: 1px solid #d8dee4; text-align: left; vertical-align: top;
    font-variant-numeric: tabular-nums; }
  thead th { white-space: nowrap; color: #59636e; }
  tbody th { font-weight: 500; }
  .number { text-align: right; white-space: nowrap; }
  figure { display: inline-block; width: min(100%, 29rem); margin: 0.5rem 0.5rem 0.5rem 0; vertical-align: top; }
  figure.wide { width: min(100%, 48rem); overflow-x: auto; }
  figure svg { width: 100%; height: auto; display: block; }
  figure.wide svg { min-width: 34rem; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1rem; font-size: 0.9rem; }
  dd { margin: 0; }
  @media (max-width: 40rem) { dl { grid-template-columns: 1fr; } dd { margin-bottom: 0.4rem; } }
  @media (prefers-color-scheme: dark) {
    body { color: #e6edf3; background: #14181d; }
    h2, th, td { border-color: #30363d; }
    caption, figcaption, dd, thead th { color: #9aa4af; }
  }
  @media print {
    body { max-width: none; padding: 0; font-size: 0.8rem; }
    nav { display: none; }
    figure, tr, li { break-inside: avoid; }
    h2, h3, caption { break-after: avoid; }
  }
)";

bool is_character(char c) {
  const auto code = static_cast<unsigned char>(c);
  return (code >= 0x20 && code != 0x7F) || c == '\t' || c == '\n';
}

}  // namespace

std::string escaped(std::string_view text) {
  using Writer = nlohmann::ordered_json;  // it knows what UTF-8 is
  const std::string valid = Writer::parse(Writer(text).dump(-1, ' ', false, Writer::error_handler_t::replace));
  std::string safe;
  for (const char c : valid) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else if (c == '\'')
      safe += "&#39;";
    else if (is_character(c))
      safe += c;
    else
      safe += "&#65533;";
  }
  return safe;
}

void HtmlPage::section(const std::string& id, const std::string& title) { sections_.push_back({id, title, ""}); }

void HtmlPage::element(const char* name, const std::string& text) {
  sections_.back().body += std::string("<") + name + '>' + escaped(text) + "</" + name + ">\n";
}

void HtmlPage::heading(const std::string& title) { element("h3", title); }

void HtmlPage::paragraph(const std::string& text) { element("p", text); }

void HtmlPage::list(const std::vector<std::string>& items) {
  std::string& body = sections_.back().body;
  body += "<ul>\n";
  for (const std::string& item : items) element("li", item);
  body += "</ul>\n";
}

void HtmlPage::table(const std::string& caption, const Rows& rows, std::size_t numbers) {
  if (rows.size() < 2) return;
  std::string& body = sections_.back().body;
  body += "<div class=\"scroll\"><table>\n";
  if (!caption.empty()) element("caption", caption);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    body += r == 0 ? "<thead><tr>" : "<tr>";
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const bool heads = !rows[r][c].empty() && (r == 0 || c == 0);  // an empty one would head nothing
      body += heads ? r == 0 ? "<th scope=\"col\"" : "<th scope=\"row\"" : "<td";
      body += (c >= numbers ? " class=\"number\">" : ">") + escaped(rows[r][c]) + (heads ? "</th>" : "</td>");
    }
    body += r == 0 ? "</tr></thead>\n<tbody>\n" : "</tr>\n";
  }
  body += "</tbody></table></div>\n";
}

void HtmlPage::definitions(const Rows& rows) {
  std::string& body = sections_.back().body;
  body += "<dl>\n";
  for (const auto& row : rows) {
    element("dt", row[0]);
    element("dd", row[1]);
  }
  body += "</dl>\n";
}

void HtmlPage::figure(const std::string& svg, const std::string& caption, bool wide) {
  std::string& body = sections_.back().body;
  body += (wide ? "<figure class=\"wide\">\n" : "<figure>\n") + svg;
  element("figcaption", caption);
  body += "</figure>\n";
}

void HtmlPage::legend(const Rows& class_and_name) {
  std::string& body = sections_.back().body;
  body += "<ul class=\"legend\">\n";
  for (const auto& entry : class_and_name) {
    body += "<li><span class=\"" + escaped(entry[0]) + "\" aria-hidden=\"true\">&#9679;</span> " + escaped(entry[1]) +
            "</li>\n";
  }
  body += "</ul>\n";
}

void HtmlPage::append(HtmlPage other) {
  for (Section& one : other.sections_) sections_.push_back(std::move(one));
}

std::string HtmlPage::text(const std::string& title, const std::string& style) const {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>" +
      escaped(title) + "</title>\n<style>\n" + kPageStyle + style + "</style>\n</head>\n<body>\n<header><h1>" +
      escaped(title) + "</h1></header>\n<nav aria-label=\"Sections\"><ul>\n";
  for (const Section& one : sections_) {
    page += "<li><a href=\"#" + escaped(one.id) + "\">" + escaped(one.title) + "</a></li>\n";
  }
  page += "</ul></nav>\n<main>\n";
  for (const Section& one : sections_) {
    const std::string id = escaped(one.id);
    page += "<section id=\"" + id + "\" aria-labelledby=\"" + id + "-title\">\n<h2 id=\"" + id + "-title\">" +
            escaped(one.title) + "</h2>\n" + one.body + "</section>\n";
  }
  return page + "</main>\n</body>\n</html>\n";
}

}  // namespace attune::cli
