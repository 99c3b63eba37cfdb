// SPDX-License-Identifier: Apache-2.0
#pragma once

// An engine for users who watch together, made of the engine that serves each: what it is asked, it asks for every
// member. The history of a request is not looked at.

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "attune/detail/engine_interface.hpp"
#include "attune/error.hpp"
#include "attune/serving/people.hpp"
#include "serving/user_record.hpp"

namespace attune::inline v0_1 {

struct GroupMember {
  Id id;
  UserCopy user;
};

class GroupEngine final : public detail::EngineInterface {
 public:
  // The engine and the members must outlive it; at least one member. `damaged` is told what the engine throws, and
  // throws what is no damage.
  GroupEngine(const detail::EngineInterface& engine, std::span<const GroupMember> members, const GroupOptions& options,
              std::function<void(const Error&)> damaged)
      : engine_(engine), all_(members), options_(options), damaged_(std::move(damaged)) {}

  // To be called first: chooses who counts.
  void listen(const Context& context, Workspace& workspace);

  std::size_t size() const noexcept override { return engine_.size(); }
  ScoreKind kind() const noexcept override { return engine_.kind(); }
  bool scorable(ItemHandle item) const noexcept override { return engine_.scorable(item); }
  std::unique_ptr<detail::EngineState> make_state(StateStorage) const override { return nullptr; }
  EngineAnswer recommend(HistoryView history, const Context& context, std::span<const std::uint64_t> eligible,
                         std::span<const float> additive, std::size_t k, detail::EngineState* state,
                         Workspace& workspace) const override;
  Source score(HistoryView history, const Context& context, std::span<const ItemHandle> handles,
               std::span<float> scores, detail::EngineState* state, Workspace& workspace) const override;
  std::optional<Neighbours> similar(ItemHandle, std::span<const std::uint64_t>, std::size_t,
                                    Workspace&) const override {
    return std::nullopt;
  }
  void similarities(ItemHandle item, std::span<const ItemHandle> handles, std::span<float> cosines) const override {
    engine_.similarities(item, handles, cosines);
  }

 private:
  Context context_of(const GroupMember& member, Context context) const;
  // scores [members] of one item become the group's.
  float together(std::span<const float> scores) const noexcept;
  std::span<const ScoredHandle> best(const Context& context, std::span<const std::uint64_t> eligible,
                                     std::span<const float> additive, std::size_t k, Workspace& workspace) const;

  const detail::EngineInterface& engine_;
  const std::span<const GroupMember> all_;
  const GroupOptions options_;
  const std::function<void(const Error&)> damaged_;
  std::vector<const GroupMember*> members_;  // those who count
  Source source_ = Source::popularity;       // that speaks for them
};

}  // namespace attune::inline v0_1
