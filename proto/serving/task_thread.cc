#include "proto/serving/task_thread.h"

#include <utility>

namespace tramontane {

TaskThread::TaskThread() : thread_([this] { Loop(); }) {}

TaskThread::~TaskThread() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  condition_.notify_one();
  thread_.join();
}

void TaskThread::Post(std::function<void()> task) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  condition_.notify_one();
}

void TaskThread::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    condition_.wait(lock, [this] { return stopping_ || !tasks_.empty(); });
    if (tasks_.empty()) return;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // whatever it held goes without the lock
    lock.lock();
  }
}

}  // namespace tramontane
