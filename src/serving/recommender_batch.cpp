// SPDX-License-Identifier: Apache-2.0

// Requests that share a scan.

#include <algorithm>
#include <utility>
#include <vector>

#include "attune/executor.hpp"
#include "serving/eligibility.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {

// A user's part of a request, copied so that nobody is locked longer than it takes to encode him.
struct Recommender::Impl::Encoded {
  const Request* request;
  Answer* answer;
  std::vector<float> user_vector;
  std::vector<ItemHandle> items, seen;
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;

  HistoryView history() const noexcept { return {items, times, kinds, weights}; }
  Timestamp time() const noexcept { return time_of(request->now, history()); }
};

namespace {

bool has_lists(const Request& request) noexcept { return request.policy || request.allow || !request.deny.empty(); }

}  // namespace

void Recommender::Impl::recommend_together(const std::shared_ptr<const Snapshot>& now,
                                           std::span<const Request> requests, std::span<Answer> answers) {
  const ScratchPool::Lease scratch = pool.take();
  std::vector<Encoded> encoded;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const Request& request = requests[i];
    const std::shared_ptr<UserRecord> user = users.find(request.user);
    if (!user) {
      const FeatureTable* const profile = profile_of(*now, request.user, request.profile, {}, *scratch);
      recommend(now, {{}, {}, {}, profile}, request, nullptr, *scratch, answers[i]);
      continue;
    }
    const std::lock_guard lock(user->mutex);
    detail::EngineState* state = users.acquire_state(*user, *now->engine, now->generation);
    std::span<const float> vector;
    try {
      const bool of_prior = now->prior && UserPrior::is_about(user->history());
      if (!has_lists(request) && !selects(request) && user->disliked.empty() && !of_prior) {
        vector = now->engine->user_vector(user->history(), context_of(request, {}), state, scratch->workspace);
      }
    } catch (const Error&) {  // which his own request will meet and note
      if (state != nullptr) state->reset();
    }
    if (vector.empty()) {
      const FeatureTable* const profile = profile_of(*now, request.user, request.profile, user->history(), *scratch);
      recommend(now, user->view(profile), request, state, *scratch, answers[i]);
      continue;
    }
    const std::span<const ItemHandle> seen = seen_items(request, user->view(), *scratch);
    encoded.push_back({&request,
                       &answers[i],
                       {vector.begin(), vector.end()},
                       user->items,
                       {seen.begin(), seen.end()},
                       user->times,
                       user->kinds,
                       user->weights});
  }
  if (!encoded.empty()) scan_together(now, encoded, *scratch);
  for (std::size_t i = 0; i < requests.size(); ++i) count(answers[i], requests[i]);
}

// Those for whom other items are live than for the first ask for themselves, and so does everybody where a vector is
// damaged.
void Recommender::Impl::scan_together(const std::shared_ptr<const Snapshot>& now, std::span<const Encoded> encoded,
                                      RequestScratch& scratch) {
  std::vector<BatchedQuery> queries;
  std::vector<const Encoded*> together, alone;
  {
    const Eligibility live(scratch, *now, {}, nullptr, encoded.front().time(), {});
    for (const Encoded& of : encoded) {
      if (!scratch.live.right_at(of.time())) {
        alone.push_back(&of);
        continue;
      }
      together.push_back(&of);
      queries.push_back({of.user_vector, of.seen, most_wanted(*now, of.request->k)});
    }
    try {
      now->engine->top_k_batch(queries, live.bits(), scratch.workspace);
    } catch (const Error&) {
      alone.insert(alone.end(), together.begin(), together.end());
      together.clear();
    }
  }
  for (std::size_t q = 0; q < together.size(); ++q) {
    const Encoded& of = *together[q];
    finish(*of.answer, now, {queries[q].best}, {of.history()}, *of.request, Eligibility(scratch, *now, of.seen),
           scratch);
  }
  for (const Encoded* of : alone) {
    recommend(now, {of->history(), of->seen}, *of->request, nullptr, scratch, *of->answer);
  }
}

std::vector<Answer> Recommender::recommend_batch(std::span<const Request> requests) const {
  Impl::Timed timed(*impl_, Operation::recommend_batch);
  timed.items(requests.size());
  std::vector<Answer> answers(requests.size());
  InlineExecutor inline_executor;
  Executor& executor = impl_->options.executor ? *impl_->options.executor : inline_executor;
  const auto now = impl_->current();
  if (!now->engine->batches()) {
    executor.run(requests.size(),
                 [&](std::size_t task, std::size_t) { impl_->recommend(requests[task], answers[task]); });
    return answers;
  }
  constexpr std::size_t kTogether = 64;
  const std::size_t per_thread = (requests.size() + executor.concurrency() - 1) / executor.concurrency();
  const std::size_t together = std::clamp<std::size_t>(per_thread, 1, kTogether);
  executor.run((requests.size() + together - 1) / together, [&](std::size_t task, std::size_t) {
    const std::size_t first = task * together, count = std::min(together, requests.size() - first);
    impl_->recommend_together(now, requests.subspan(first, count), std::span(answers).subspan(first, count));
  });
  return answers;
}

}  // namespace attune::inline v0_1
