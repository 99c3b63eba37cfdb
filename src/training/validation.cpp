// SPDX-License-Identifier: Apache-2.0
#include "training/validation.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <vector>

namespace attune::inline v0_1::detail {

namespace {

// The rank's part of the queries: all or none of a user's.
EvaluationQueries part_of(const EvaluationQueries& all, const Communicator& ranks) {
  const auto& queries = all.queries;
  const auto begin_of = [&](std::size_t rank) {
    std::size_t begin = queries.size() * rank / ranks.size();
    while (begin > 0 && begin < queries.size() && queries[begin].user == queries[begin - 1].user) ++begin;
    return queries.begin() + static_cast<std::ptrdiff_t>(begin);
  };
  return {all.histories, {begin_of(ranks.rank()), begin_of(ranks.rank() + 1)}};
}

// Both metrics summed over the queries of a user, and how many those are.
using UserPart = std::array<double, 3>;

std::vector<UserPart> measure(const TrainedModel& model, const EvaluationQueries& queries,
                              EvaluationOptions measuring) {
  std::vector<UserPart> parts;
  if (queries.empty()) return parts;
  measuring.keep_user_sums = true;
  const UserSums users = evaluate(model, queries, measuring).user_sums;
  const auto column = [&](const char* metric) { return std::ranges::find(users.names, metric) - users.names.begin(); };
  const auto hit_rate = static_cast<std::size_t>(column("hr@10")), ndcg = static_cast<std::size_t>(column("ndcg@10"));
  for (std::size_t user = 0; user < users.queries.size(); ++user) {
    const double* const sums = users.sums.data() + user * users.names.size();
    parts.push_back({sums[hit_rate], sums[ndcg], static_cast<double>(users.queries[user])});
  }
  return parts;
}

}  // namespace

void validate(EpochReport& report, const TrainedModel& model, const EvaluationQueries& queries,
              const EvaluationOptions& measuring, Communicator* ranks) {
  if (queries.empty()) return;
  report.validated = true;
  if (!ranks) {
    const Report measured = evaluate(model, queries, measuring);
    report.hit_rate_10 = measured.hit_rate_at(10);
    report.ndcg_10 = measured.ndcg_at(10);
    return;
  }
  const std::vector<UserPart> own = measure(model, part_of(queries, *ranks), measuring);
  UserPart total{};  // in the order of the users, as in one process
  for (const std::vector<std::byte>& of_rank : ranks->gather(std::as_bytes(std::span(own)))) {
    for (std::size_t at = 0; at < of_rank.size(); at += sizeof(UserPart)) {
      UserPart part;
      std::memcpy(&part, of_rank.data() + at, sizeof(part));
      for (std::size_t i = 0; i < total.size(); ++i) total[i] += part[i];
    }
  }
  report.hit_rate_10 = total[0] / total[2];
  report.ndcg_10 = total[1] / total[2];
}

}  // namespace attune::inline v0_1::detail
