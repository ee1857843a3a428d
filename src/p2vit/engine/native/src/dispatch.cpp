#include "dispatch.h"

#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace p2vit {

// Sets that are not in the build: those of other architectures; all but the scalar one on an unknown architecture.
#if !defined(P2VIT_X86)
const Kernels* kernels_avx2() { return nullptr; }
const Kernels* kernels_avxvnni() { return nullptr; }
const Kernels* kernels_vnni256() { return nullptr; }
const Kernels* kernels_avx512vnni() { return nullptr; }
#endif
#if !defined(P2VIT_AMX)
const Kernels* kernels_amx() { return nullptr; }
#endif
#if !defined(P2VIT_ARM)
const Kernels* kernels_dotprod() { return nullptr; }
const Kernels* kernels_i8mm() { return nullptr; }
#endif

namespace {

#if defined(__x86_64__)
bool has_avx_vnni() {
    unsigned eax, ebx, ecx, edx;
    return __builtin_cpu_supports("avx2") && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1);
}

bool has_vnni256() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}

bool has_avx512() {
    return has_vnni256() && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vbmi") &&
           __builtin_cpu_supports("bmi2");
}

bool has_avx2() { return __builtin_cpu_supports("avx2"); }

// Tiles have their own state, which Linux saves only for a process that asked for it. It may refuse.
bool tiles_permitted() {
#if defined(__linux__)
    constexpr int kRequestPermission = 0x1023, kTileData = 18;   // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
    return false;
#endif
}

bool has_amx() {
    unsigned eax, ebx, ecx, edx;
    if (!has_avx512() || !__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return false;
    const bool tiles = edx >> 24 & 1, products = edx >> 25 & 1;
    static const bool permitted = tiles && products && tiles_permitted();
    return permitted;
}
#else
bool has_amx() { return false; }
bool has_avx_vnni() { return false; }
bool has_vnni256() { return false; }
bool has_avx512() { return false; }
bool has_avx2() { return false; }
#endif

#if defined(__aarch64__) && defined(__linux__)
bool has_dotprod() { return getauxval(AT_HWCAP) >> 20 & 1; }   // HWCAP_ASIMDDP
bool has_i8mm() { return getauxval(AT_HWCAP2) >> 13 & 1; }     // HWCAP2_I8MM
#elif defined(__aarch64__) && defined(__APPLE__)
bool has_dotprod() { return true; }   // every Mac with an Arm CPU
bool has_i8mm() { return false; }
#else
bool has_dotprod() { return false; }
bool has_i8mm() { return false; }
#endif

}   // namespace

std::vector<IsaEntry> instruction_sets() {
    return {{"amx", kernels_amx(), has_amx()},
            {"avx512vnni", kernels_avx512vnni(), has_avx512()},
            {"vnni256", kernels_vnni256(), has_vnni256()},
            {"avxvnni", kernels_avxvnni(), has_avx_vnni()},
            {"avx2", kernels_avx2(), has_avx2()},
            {"i8mm", kernels_i8mm(), has_i8mm()},
            {"dotprod", kernels_dotprod(), has_dotprod()},
            {"scalar", kernels_scalar(), true}};
}

const Kernels* kernels_named(const std::string& name) {
    for (const IsaEntry& entry : instruction_sets()) {
        if (entry.name != name) continue;
        if (!entry.kernels) throw std::invalid_argument("this build has no kernels for " + name);
        if (!entry.supported) throw std::invalid_argument("this CPU does not support " + name);
        return entry.kernels;
    }
    throw std::invalid_argument("unknown instruction set " + name);
}

}   // namespace p2vit
