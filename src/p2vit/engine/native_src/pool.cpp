#include "pool.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace p2vit {
namespace {

constexpr int kSpins = 4000;

inline void pause() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

void wait_while(std::atomic<int>& value, int seen) {
    for (int i = 0; i < kSpins; ++i) {
        if (value.load(std::memory_order_acquire) != seen) return;
        pause();
    }
    while (value.load(std::memory_order_acquire) == seen) value.wait(seen, std::memory_order_acquire);
}

}  // namespace

void Barrier::wait() {
    if (count_ == 1) return;
    const int generation = generation_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == count_ - 1) {
        arrived_.store(0, std::memory_order_relaxed);
        generation_.fetch_add(1, std::memory_order_acq_rel);
        generation_.notify_all();
    } else {
        wait_while(generation_, generation);
    }
}

Pool::Pool(int threads) : threads_(threads), barrier_(threads) {
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, i] { serve(i); });
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
    running_.store(threads_ - 1, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_acq_rel);
    generation_.notify_all();
    job(0);
    for (int left; (left = running_.load(std::memory_order_acquire)) != 0;) wait_while(running_, left);
}

void Pool::serve(int index) {
    int seen = 0;
    for (;;) {
        wait_while(generation_, seen);
        ++seen;
        if (stop_.load()) return;
        (*job_)(index);
        if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_all();
    }
}

}  // namespace p2vit
