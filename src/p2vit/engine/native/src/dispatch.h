// The kernel sets in this build, and whether this CPU supports them.
#pragma once

#include <string>
#include <vector>

#include "kernels.h"

namespace p2vit {

struct IsaEntry {
    std::string name;
    const Kernels* kernels;   // null: not in this build
    bool supported;           // by this CPU and its operating system
};

// Best first.
std::vector<IsaEntry> instruction_sets();

// Returns the set of a name; throws std::invalid_argument if the build does not have it or the CPU does not support it.
const Kernels* kernels_named(const std::string& name);

}   // namespace p2vit
