// SPDX-License-Identifier: Apache-2.0
#include "use_everything.hpp"

double second_unit();

double second_unit() { return use_everything(); }
