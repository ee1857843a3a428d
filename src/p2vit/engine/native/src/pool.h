// Worker threads, bounded by the user, that help with one job at a time.
//
// Nobody waits for a thread that has not begun: on a busy machine the caller goes on alone, and a worker that wakes up
// late joins in wherever the job has got to.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace p2vit {

// Waits until the value is another than `seen`: spins for so many turns, because steps are short; then sleeps.
void wait_while(std::atomic<int>& value, int seen, int spins);

class Pool {
  public:
    Pool(int threads, int spins);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return threads_; }
    int spins() const { return spins_; }

    // Calls job(0) on the caller's thread and job(1) .. job(threads − 1) on those workers that come in time. When
    // job(0) returns the work must be done or claimed: returns when every worker that began has left. Calls from
    // several threads queue up. A job must not throw.
    void run(const std::function<void(int)>& job);

  private:
    void serve(int index);
    bool join();
    void leave() {
        members_.fetch_sub(1, std::memory_order_acq_rel);
        members_.notify_all();
    }

    static constexpr int kClosed = 1 << 30;

    const int threads_, spins_;
    std::mutex turn_;
    const std::function<void(int)>* job_ = nullptr;
    std::atomic<int> generation_{0};
    std::atomic<int> members_{kClosed};   // workers inside, and whether more may come
    std::atomic<bool> stop_{false};
    std::vector<std::thread> workers_;
};

}   // namespace p2vit
