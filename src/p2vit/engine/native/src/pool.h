// A pool of worker threads that work on one job at a time.
//
// No thread waits for a worker that has not begun. On a busy machine the caller works alone, and a worker that wakes up
// late joins the job where it then is.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace p2vit {

// Waits until the value differs from `seen`. It polls `spins` times, because steps are short, and then sleeps.
void wait_while(std::atomic<int>& value, int seen, int spins);

class Pool {
  public:
    Pool(int threads, int spins);
    ~Pool();
    Pool(const Pool&) = delete;
    Pool& operator=(const Pool&) = delete;

    int threads() const { return threads_; }
    int spins() const { return spins_; }

    // Calls job(0) on the caller's thread, and job(1) .. job(threads − 1) on those workers that wake up in time. When
    // job(0) returns, all work must be done or claimed. This returns when every worker that began has finished. Calls
    // from several threads run one after the other. A job must not throw.
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
    std::atomic<int> members_{kClosed};   // number of workers in the job, and kClosed if no more may join
    std::atomic<bool> stop_{false};
    std::vector<std::thread> workers_;
};

}   // namespace p2vit
