// SPDX-License-Identifier: Apache-2.0
#pragma once

// Profiles of users, as the tool reads them: from a file for training, from the command line for a request.

#include <iosfwd>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "attune/data/split.hpp"
#include "attune/model/featurizer.hpp"
#include "attune/training/trainer.hpp"
#include "attune/training/user_prior_training.hpp"
#include "cli/arguments.hpp"
#include "cli/console.hpp"

namespace attune::cli {

// What of users' features tells what they want.
struct Profiles {
  std::string file;
  std::vector<FeatureSpec> features;
  FeatureRecords records;
  FeatureReport read;
  Featurizer featurizer = {};  // of the users that are trained
  UserPriorReport learned = {};
  std::vector<float> importance = {};
};

// Nothing without a file of users; what does not fit is refused before the training.
std::optional<Profiles> read_profiles(const TrainOptions& options, const Histories& train);
// Trains a second model, on all users but some who are held out, and gives the first what it learns of those.
void fit_profiles(TrainedModel& model, Profiles& profiles, TrainerConfig config, const Split& split, Executor& executor,
                  const Progress& progress);
Json profiles_json(const std::optional<Profiles>& profiles);
void print_profiles(std::ostream& out, const std::optional<Profiles>& profiles);

// Fields of "age=25,gender=F" or of a JSON object: texts, numbers, lists of numbers. Throws UsageError.
class ProfileText {
 public:
  explicit ProfileText(const std::string& text);
  std::vector<FieldValue> values() const;  // valid while this lives

 private:
  void read_json(const std::string& text);
  std::vector<std::pair<std::string, std::variant<std::string, double, std::vector<float>>>> fields_;
};

}  // namespace attune::cli
