// SPDX-License-Identifier: Apache-2.0
#include "use_everything.hpp"

double first_unit();

double first_unit() { return use_everything(); }
