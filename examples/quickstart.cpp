// SPDX-License-Identifier: Apache-2.0

// From raw interactions to answers in real time, with the library alone:
//   quickstart DATA_DIRECTORY MODEL_DIRECTORY [EPOCHS]
// reads the bundled MovieTweetings ratings, trains, measures against the baselines, saves, and serves.

#include <algorithm>
#include <attune/attune.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <thread>

namespace {

constexpr const char* kUser = "8321";
constexpr const char* kToyStory3 = "435761";
constexpr const char* kMonstersUniversity = "1453405";

using Titles = std::map<std::string, std::string, std::less<>>;

Titles read_titles(const std::string& file) {
  attune::DelimitedReader reader{file};
  const std::size_t item = reader.required_column("item"), title = reader.required_column("title");
  Titles titles;
  for (std::vector<std::string_view> fields; reader.next(fields);) {
    if (reader.is_whole(fields)) titles.emplace(fields[item], fields[title]);  // an error where it is not
  }
  return titles;
}

attune::InteractionLog read(const std::string& file) {
  attune::LoadReport load;
  attune::InteractionLog log = attune::read_interactions(file, {}, &load);
  std::printf("%s\n  %zu lines: %zu header, %zu blank, %zu interactions", file.c_str(), load.lines, load.header_lines,
              load.blank_lines, load.interactions);
  for (const auto& drop : load.dropped) std::printf(", %zu dropped (%s)", drop.lines, drop.reason.c_str());
  std::printf("\n  %zu users, %zu items, times in %s\n", load.users, load.items, load.time_unit.c_str());
  return log;
}

attune::TrainedModel train(const attune::Split& split, std::size_t epochs, attune::Executor& executor) {
  attune::TrainerConfig config = attune::TrainerConfig::preset("default");
  config.time_budget_seconds = 90;
  if (epochs != 0) config.epochs = epochs;
  attune::Progress progress;
  progress.epoch = [](const attune::EpochReport& epoch) {
    std::printf("  epoch %2zu of at most %zu: loss %.4f, validation hr@10 %.4f, ndcg@10 %.4f, %.1f s%s\n", epoch.epoch,
                epoch.epochs, epoch.loss, epoch.hit_rate_10, epoch.ndcg_10, epoch.seconds, epoch.best ? ", best" : "");
    std::fflush(stdout);
    return true;  // false would stop here and keep the best epoch so far
  };
  progress.refit = [](const attune::EpochReport& epoch) {
    std::printf("  once more with the validation part: epoch %zu of %zu, %.1f s\n", epoch.epoch, epoch.epochs,
                epoch.seconds);
    std::fflush(stdout);
    return true;
  };
  return attune::Trainer{config, &executor}.fit(split.train, split.validation, progress);
}

// Every item of the catalogue is ranked for every event of the test part.
void measure(const attune::TrainedModel& model, const attune::EvaluationQueries& test, attune::Executor& executor) {
  attune::EvaluationOptions options;
  options.cutoffs = {10};
  options.bootstrap = 0;
  options.executor = &executor;
  const auto counts = model.popularity->counts();
  const attune::Report trained = attune::evaluate(model, test, options);
  const attune::Report markov = attune::evaluate(attune::ModelUnderTest(*model.counts), counts, test, options);
  const attune::Report popular = attune::evaluate(attune::ModelUnderTest(*model.popularity), counts, test, options);
  std::printf("  %-12s %10s %10s %10s\n", "", "attune", "markov", "popularity");
  for (const char* metric : {"hr@10", "ndcg@10", "mrr@10", "coverage@10"}) {
    std::printf("  %-12s %10.4f %10.4f %10.4f\n", metric, trained.at(metric), markov.at(metric), popular.at(metric));
  }
}

std::string title_of(const attune::Id& item, const Titles& titles) {
  const auto title = titles.find(attune::to_string(item));
  return title == titles.end() ? attune::to_string(item) : title->second;
}

void show(const attune::Answer& answer, const Titles& titles) {
  for (const attune::Recommendation& next : answer.items) {
    std::printf("  %9.4f  %s\n", static_cast<double>(next.score), title_of(next.item, titles).c_str());
  }
  std::printf("  (source: %s, score: %s)\n", std::string(attune::to_string(answer.source)).c_str(),
              std::string(attune::to_string(answer.score_kind)).c_str());
}

void show_newest_events(const attune::Histories& histories, const Titles& titles) {
  const attune::UserHandle user = histories.user_ids->find(kUser);
  if (user == attune::kNoHandle) return;
  const attune::HistoryView history = histories.of(user);
  std::printf("\nUser %s rated %zu films, last\n", kUser, history.size());
  const std::size_t shown = std::min<std::size_t>(3, history.size());
  for (const attune::ItemHandle item : history.items.last(shown)) {
    std::printf("           %s\n", title_of(histories.item_ids->id(item), titles).c_str());
  }
}

void serve(const std::string& model, const Titles& titles, attune::Timestamp now) {
  auto recommender = attune::Recommender::open(model);

  std::printf("Recommended next\n");
  attune::Answer answer = recommender.recommend({.user = kUser, .k = 5, .now = now});
  show(answer, titles);

  const auto start = std::chrono::steady_clock::now();
  recommender.observe({.user = kUser, .item = kToyStory3, .timestamp = now});
  recommender.observe({.user = kUser, .item = kMonstersUniversity, .timestamp = now + 1});
  recommender.recommend({.user = kUser, .k = 5, .now = now + 1}, answer);
  const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("\nThe same user after Toy Story 3 and Monsters University, %.0f microseconds later\n", elapsed.count());
  show(answer, titles);

  std::printf("\nFor somebody unknown\n");
  show(recommender.recommend({.user = "nobody", .k = 5}), titles);

  std::printf("\nFor a bare history: Toy Story 3, Monsters University\n");
  show(recommender.recommend_history({kToyStory3, kMonstersUniversity}, {.k = 5}), titles);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::cerr << "usage: quickstart DATA_DIRECTORY MODEL_DIRECTORY [EPOCHS]\n";
    return 2;
  }
  const std::string data = argv[1], output = argv[2];
  const std::string interactions = data + "/movietweetings-10core.interactions.csv.xz";
  const std::string items = data + "/movietweetings-10core.items.csv.xz";
  try {
    attune::ThreadPool executor{std::thread::hardware_concurrency()};
    std::printf("Reading\n");
    const Titles titles = read_titles(items);
    const attune::Split split = attune::split(attune::group_by_user(attune::clean(read(interactions), {})));
    const attune::Timestamp now = *std::max_element(split.all->times.begin(), split.all->times.end());

    std::printf("\nTraining on the first %.0f %% of the events, %zu threads, instruction set %s\n",
                100 * split.options.fraction, executor.concurrency(), attune::simd_level());
    attune::TrainedModel model = train(split, argc == 4 ? std::strtoul(argv[3], nullptr, 10) : 0, executor);
    std::printf("\nMeasuring on the rest: %zu events, all %zu items ranked for each\n", split.test.size(),
                model.num_items());
    measure(model, split.test, executor);

    model.histories = split.all;
    model.save(output);
    show_newest_events(*split.all, titles);
    serve(output, titles, now);

    const std::string tool = (std::filesystem::path(argv[0]).parent_path() / "attune").string();
    std::printf("\nThe model is in %s. Next:\n", output.c_str());
    std::printf("  %s recommend --model %s --items %s --user %s\n", tool.c_str(), output.c_str(), items.c_str(), kUser);
    std::printf("  %s evaluate --model %s --interactions %s --baselines\n", tool.c_str(), output.c_str(),
                interactions.c_str());
    std::printf("  %s --help\n", tool.c_str());
  } catch (const attune::Error& error) {
    std::cerr << "quickstart: " << error.what() << '\n';
    return 1;
  }
}
