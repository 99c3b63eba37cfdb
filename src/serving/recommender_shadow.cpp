// SPDX-License-Identifier: Apache-2.0

// A candidate model that answers beside the one that serves, and is measured by what users do next.

#include <algorithm>
#include <limits>
#include <utility>

#include "serving/recommender_impl.hpp"
#include "serving/shadow_run.hpp"

namespace attune::inline v0_1 {

void Recommender::shadow(const std::string& model, const ShadowOptions& options) {
  shadow(TrainedModel::load(model, impl_->options.model_access), options);
}

void Recommender::shadow(const TrainedModel& model, const ShadowOptions& options) {
  const std::lock_guard lock(impl_->reload_mutex);
  if (model.histories) impl_->users.check_kind(*model.histories);
  const std::vector<ItemHandle> handles = impl_->catalogue->add_all(*model.item_ids);
  constexpr std::uint64_t kNeverServed = std::numeric_limits<std::uint64_t>::max();
  auto candidate = make_snapshot(impl_->catalogue, make_served(model, handles, impl_->options), handles, kNeverServed,
                                 ++impl_->editions);
  auto run = std::make_shared<ShadowRun>(std::move(candidate), options);
  impl_->log(LogLevel::info, "model \"" + model.version + "\" is measured in the shadow of the one that serves");
  const std::lock_guard swap(impl_->snapshot_mutex);
  impl_->shadow.swap(run);
  impl_->shadowing = true;
}

ShadowReport Recommender::shadow_report() const {
  const auto run = impl_->current_shadow();
  return run ? run->report() : ShadowReport{};
}

void Recommender::end_shadow() {
  std::shared_ptr<ShadowRun> run;  // taken down outside of the lock
  const std::lock_guard swap(impl_->snapshot_mutex);
  impl_->shadowing = false;
  impl_->shadow.swap(run);
}

std::shared_ptr<ShadowRun> Recommender::Impl::current_shadow() const {
  if (!shadowing.load(std::memory_order_relaxed)) return nullptr;
  const std::lock_guard lock(snapshot_mutex);
  return shadow;
}

void Recommender::Impl::measure(ShadowRun& run, UserRecord& user, const Interaction& event, ItemHandle item) {
  const ShadowOptions& of_run = run.options();
  const bool late = event.timestamp < user.last_time();
  const bool seen = of_run.exclude_seen && std::ranges::binary_search(user.distinct, item);
  if (user.items.empty() || late || seen || UserStates::has_event(user, event.event_id)) return;
  const Request request{.user = event.user, .k = of_run.k, .now = event.timestamp, .exclude_seen = of_run.exclude_seen};
  const ScratchPool::Lease own = pool.take(), of_candidate = run.pool().take();
  Answer served, candidate;
  auto now = current();
  detail::EngineState* state = users.acquire_state(user, *now->engine, now->generation);
  recommend(std::move(now), user.view(), request, state, *own, served);
  recommend(run.candidate(), user.view(), request, nullptr, *of_candidate, candidate);
  if (own->failures.any() || of_candidate->failures.any()) return run.add_failure();
  run.add(event.item, served.items, candidate.items);
}

}  // namespace attune::inline v0_1
