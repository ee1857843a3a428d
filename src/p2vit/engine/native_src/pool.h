// Worker threads, bounded by the user, that run one job together; and the barrier they meet at.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace p2vit {

// Spins for a moment, because steps are short; then sleeps, because the machine may be shared.
class Barrier {
  public:
    explicit Barrier(int count) : count_(count) {}
    void wait();

  private:
    const int count_;
    std::atomic<int> arrived_{0};
    std::atomic<int> generation_{0};
};

class Pool {
  public:
    explicit Pool(int threads);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return threads_; }
    Barrier& barrier() { return barrier_; }

    // Calls job(0) .. job(threads − 1) at once, job(0) on the caller's thread. Calls from several threads queue up.
    // A job must not throw.
    void run(const std::function<void(int)>& job);

  private:
    void serve(int index);

    const int threads_;
    Barrier barrier_;
    std::mutex turn_;
    const std::function<void(int)>* job_ = nullptr;
    std::atomic<int> generation_{0};
    std::atomic<int> running_{0};
    std::atomic<bool> stop_{false};
    std::vector<std::thread> workers_;
};

}  // namespace p2vit
