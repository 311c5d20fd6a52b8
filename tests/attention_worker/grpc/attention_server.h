// An attention worker's service on a loopback port of this process, and clients of it.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_ATTENTION_SERVER_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_ATTENTION_SERVER_H_

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attention_worker/grpc/attention_service.h"
#include "attention_worker/grpc/grpc_attention_client.h"
#include "proto/serving/listener.h"

namespace tramontane {

class AttentionServer {
 public:
  // `worker` outlives the server. `address`: with a port, where it is to be an old one again.
  AttentionServer(AttentionClient* worker, AttentionIdentity identity,
                  const std::string& address = "127.0.0.1:0")
      : service_(worker, std::move(identity)) {
    ListenerOptions options;
    options.address = address;
    options.min_ping_interval = kAttentionPingInterval;
    auto listener = Listener::StartLoop(options, service_.Methods(), absl::ZeroDuration());
    EXPECT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    address_ = listener_->address();
  }
  ~AttentionServer() { Kill(); }

  // Breaks every connection at once.
  void Kill() {
    if (listener_ != nullptr) listener_->Shutdown(absl::Now());
    listener_.reset();
  }

  const std::string& address() const { return address_; }
  AttentionService& service() { return service_; }

 private:
  AttentionService service_;
  std::unique_ptr<Listener> listener_;
  std::string address_;
};

// Waits for what changes tell of.
class Changes {
 public:
  std::function<void()> Noting() {
    return [this] {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        ++count_;
      }
      changed_.notify_all();
    };
  }

  // True once `holds` does; false after half a minute.
  bool Await(const std::function<bool()>& holds) {
    const absl::Time deadline = absl::Now() + absl::Seconds(30);
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
      const int before = count_;
      lock.unlock();
      const bool done = holds();
      lock.lock();
      if (done) return true;
      const bool noted = changed_.wait_for(lock, absl::ToChronoMicroseconds(deadline - absl::Now()),
                                           [&] { return count_ != before; });
      if (!noted) return false;
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// The sizes of a worker without a model, such as FakeAttentionClient.
inline MixtralConfig FakeModelSizes() {
  MixtralConfig config;
  config.num_layers = 2;
  config.hidden_size = 8;
  config.intermediate_size = 16;
  config.num_experts = 4;
  config.top_k = 2;
  config.num_heads = 2;
  config.num_kv_heads = 1;
  config.head_dim = 4;
  config.vocab_size = 256;
  config.max_position_embeddings = 1024;
  return config;
}

inline AttentionIdentity FakeIdentity() {
  return {.model_name = "fake",
          .digest = "d1",
          .compute_dtype = "f32",
          .backend = "none",
          .config = FakeModelSizes(),
          .max_step_tokens = 512};
}

// What agrees with `identity`; connects again within milliseconds.
inline GrpcAttentionClientOptions OptionsFor(const AttentionIdentity& identity,
                                             uint64_t coordinator_id = 1) {
  GrpcAttentionClientOptions options;
  options.expected.digest = identity.digest;
  options.expected.compute_dtype = identity.compute_dtype;
  options.expected.config = identity.config;
  options.coordinator_id = coordinator_id;
  options.connect_timeout = absl::Seconds(10);
  options.answer_timeout = absl::Minutes(1);
  options.reconnect = {absl::Milliseconds(1), absl::Milliseconds(4)};
  return options;
}

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_GRPC_ATTENTION_SERVER_H_
