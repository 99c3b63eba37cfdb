// SPDX-License-Identifier: Apache-2.0
#include "cli/segments.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/report.hpp"

namespace attune::cli {
namespace {

constexpr std::size_t kProvidersShown = 10;

bool has_gap(const std::string& metric) { return metric.starts_with("hr@") || metric.starts_with("ndcg@"); }

}  // namespace

Json segments_json(const Report& report) {
  Json json = Json::object();
  for (const Segment& segment : report.segments) {
    Json& grouping = json[segment.grouping];
    grouping["groups"][segment.group] = {{"queries", segment.queries},
                                         {"users", segment.users},
                                         {"metrics", metrics_json(segment.metrics)},
                                         {"confidence", segment.confidence}};
  }
  for (auto& [name, grouping] : json.items()) {
    for (const auto& [metric, value] : report.metrics) {
      if (has_gap(metric)) grouping["gap"][metric] = report.fairness_gap(name, metric);
    }
  }
  return json;
}

Rows segment_rows(const Report& report, std::size_t cutoff) {
  if (report.segments.empty()) return {};
  const std::string hr = "hr@" + std::to_string(cutoff), ndcg = "ndcg@" + std::to_string(cutoff);
  Rows rows{{"segments", "", "queries", "users", hr, ndcg, "95 % of resamples"}};
  const auto shown = [](double value) { return fixed(value, 4); };
  for (std::size_t i = 0; i < report.segments.size(); ++i) {
    const Segment& segment = report.segments[i];
    const std::string& grouping = segment.grouping;
    std::string interval;
    if (const auto found = segment.confidence.find(ndcg); found != segment.confidence.end()) {
      interval = shown(found->second[0]) + " to " + shown(found->second[1]);
    }
    const bool first = i == 0 || report.segments[i - 1].grouping != grouping;
    const bool last = i + 1 == report.segments.size() || report.segments[i + 1].grouping != grouping;
    rows.push_back({first ? grouping : "", segment.group, grouped(segment.queries), grouped(segment.users),
                    shown(segment.metrics.at(hr)), shown(segment.metrics.at(ndcg)), interval});
    if (!last) continue;
    rows.push_back(
        {"", "gap", "", "", shown(report.fairness_gap(grouping, hr)), shown(report.fairness_gap(grouping, ndcg)), ""});
  }
  return rows;
}

void print_segments(std::ostream& out, const Report& report, std::size_t cutoff) {
  print_table(out, segment_rows(report, cutoff), "llr");
}

Json exposure_json(const Report& report, std::size_t cutoff) {
  Json providers = Json::object();
  for (const ProviderExposure& provider : report.exposure) {
    providers[provider.provider] = {{"exposure", provider.exposure}, {"catalogue", provider.catalogue}};
  }
  return {{"cutoff", cutoff}, {"providers", std::move(providers)}};
}

Rows exposure_rows(const Report& report) {
  if (report.exposure.empty()) return {};
  std::vector<ProviderExposure> providers = report.exposure;
  std::stable_sort(providers.begin(), providers.end(),
                   [](const auto& a, const auto& b) { return a.exposure > b.exposure; });
  Rows rows{{"providers", "exposure", "catalogue"}};
  for (std::size_t i = 0; i < std::min(kProvidersShown, providers.size()); ++i) {
    rows.push_back({providers[i].provider, fixed(providers[i].exposure, 4), fixed(providers[i].catalogue, 4)});
  }
  return rows;
}

void print_exposure(std::ostream& out, const Report& report) {
  print_table(out, exposure_rows(report));
  if (report.exposure.size() <= kProvidersShown) return;
  out << "  and " << grouped(report.exposure.size() - kProvidersShown) << " more\n";
}

}  // namespace attune::cli
