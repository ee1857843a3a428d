#include "pool.h"

#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace p2vit {
namespace {

inline void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}   // namespace

void wait_while(std::atomic<int>& value, int seen, int spins) {
    for (int i = 0; i < spins; ++i) {
        if (value.load(std::memory_order_acquire) != seen) return;
        pause();
    }
    while (value.load(std::memory_order_acquire) == seen) value.wait(seen, std::memory_order_acquire);
}

Pool::Pool(int threads, int spins) : threads_(threads), spins_(spins) {
    try {
        for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
    } catch (const std::system_error&) {
        // The system allows no more threads. The threads that started do all of the work.
    }
}

Pool::~Pool() {
    stop_.store(true);
    generation_.fetch_add(1, std::memory_order_acq_rel);
    generation_.notify_all();
    for (auto& worker : workers_) worker.join();
}

void Pool::run(const std::function<void(int)>& job) {
    const std::lock_guard lock(turn_);
    job_ = &job;
    members_.store(0, std::memory_order_release);
    generation_.fetch_add(1, std::memory_order_acq_rel);
    generation_.notify_all();
    job(0);
    members_.fetch_or(kClosed, std::memory_order_acq_rel);
    for (int left; (left = members_.load(std::memory_order_acquire)) != kClosed;) wait_while(members_, left, spins_);
}

bool Pool::join() {
    int members = members_.load(std::memory_order_acquire);
    while (!(members & kClosed))
        if (members_.compare_exchange_weak(members, members + 1, std::memory_order_acq_rel)) return true;
    return false;
}

void Pool::serve(int index) {
    int seen = 0;
    for (;;) {
        wait_while(generation_, seen, spins_);
        seen = generation_.load(std::memory_order_acquire);
        if (stop_.load()) return;
        if (!join()) continue;
        (*job_)(index);
        leave();
    }
}

}   // namespace p2vit
