// Which kernel sets this build holds and this CPU can run.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace p2vit {

struct IsaEntry {
    std::string name;
    const Kernels* kernels;   // null: left out of the build
    bool supported;           // by this CPU and its operating system
};

// Best first.
std::vector<IsaEntry> instruction_sets();

// The set of that name; throws std::invalid_argument where the build or the CPU lacks it.
const Kernels* kernels_named(const std::string& name);

}   // namespace p2vit
