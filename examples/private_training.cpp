// SPDX-License-Identifier: Apache-2.0

// How good is a model that must not give anybody away? Trains on all but everybody's last event, within a budget of
// differential privacy and without one, and measures both on those last events:
//   private_training INTERACTIONS MODEL_DIRECTORY EPSILON
// The private model is left in the directory. Whoever has its weights can hardly tell whether a given user's whole
// history was there; the histories themselves stay out of it.

#include <attune/data/reader.hpp>
#include <attune/data/split.hpp>
#include <attune/error.hpp>
#include <attune/privacy/private_training.hpp>
#include <attune/training/evaluation.hpp>
#include <attune/training/trainer.hpp>
#include <cstdio>
#include <cstdlib>
#include <iostream>

namespace {

void print_measured(const char* name, const attune::TrainedModel& model, const attune::EvaluationQueries& queries) {
  const attune::Report report = attune::evaluate(model, queries, {.bootstrap = 0});
  std::printf("%-8s hr@10 %.4f  ndcg@10 %.4f\n", name, report.metrics.at("hr@10"), report.metrics.at("ndcg@10"));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: private_training INTERACTIONS MODEL_DIRECTORY EPSILON\n";
    return 2;
  }
  try {
    // By leave-one-out, since where a history ends must not depend on other people.
    attune::SplitOptions leave_one_out;
    leave_one_out.kind = attune::SplitOptions::Kind::leave_one_out;
    const attune::Split parts = attune::split(attune::group_by_user(attune::read_interactions(argv[1])), leave_one_out);
    const attune::Histories learned = attune::with_targets(parts.train, parts.validation);

    attune::PrivateTrainingConfig config;
    config.epsilon = std::strtod(argv[3], nullptr);
    attune::PrivacyStatement spent;
    const attune::TrainedModel model = attune::train_privately(learned, config, nullptr, &spent);
    std::printf("epsilon %.4f at delta %g for all that a user did\n", spent.epsilon, spent.delta);
    print_measured("private", model, parts.test);
    model.save(argv[2]);

    attune::Trainer trainer(attune::TrainerConfig::preset("markov"));
    print_measured("markov", trainer.fit(parts.train, parts.validation), parts.test);
  } catch (const attune::Error& error) {
    std::cerr << "private_training: " << error.what() << '\n';
    return 1;
  }
}
