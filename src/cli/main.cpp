// SPDX-License-Identifier: Apache-2.0

// The `attune` tool: parse, run the verb, turn what goes wrong into one line and an exit status.

#include <algorithm>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "cli/ranks.hpp"
#include "cli/verbs.hpp"

namespace {

int failed(std::string reason, int status = attune::cli::kFailed) {
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  std::cerr << "attune: " << reason << '\n';
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace attune::cli;
  try {
    const ParsedArguments arguments = parse_arguments(argc, argv);
    if (!arguments.command) return arguments.status;
    if (!std::holds_alternative<TrainOptions>(*arguments.command) && launched_processes() > 1) {
      throw UsageError("expected to be started alone: only `attune train` shares its work with other processes");
    }
    std::visit(
        [](const auto& options) {
          Console console(options.common);
          run(options, console);
        },
        *arguments.command);
    if (!std::cout.flush()) return failed("standard output: cannot be written");
    return kDone;
  } catch (const UsageError& error) {
    return failed(error.what(), kWrongUsage);
  } catch (const std::bad_alloc&) {
    return failed("out of memory");
  } catch (const std::exception& error) {
    return failed(error.what());
  }
}
