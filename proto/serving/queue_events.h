// What the tags of a gRPC completion queue are.
#ifndef TRAMONTANE_PROTO_SERVING_QUEUE_EVENTS_H_
#define TRAMONTANE_PROTO_SERVING_QUEUE_EVENTS_H_

#include <atomic>
#include <cstdint>

namespace tramontane {

// Is told when an operation has ended, by a thread that polls, with no lock held.
class QueueEvent {
 public:
  virtual void OnEvent(bool ok) = 0;

 protected:
  ~QueueEvent() = default;
};

// Calls a member function of its owner.
template <typename Owner>
class MemberEvent final : public QueueEvent {
 public:
  MemberEvent(Owner* owner, void (Owner::*on_event)(bool ok))
      : owner_(owner), on_event_(on_event) {}
  void OnEvent(bool ok) override { (owner_->*on_event_)(ok); }

 private:
  Owner* const owner_;
  void (Owner::*const on_event_)(bool ok);
};

// Events as a queue's tags, and back. Thread-safe.
class QueueTags {
 public:
  // The tag of an operation that is started next. What was written before is seen in OnEvent.
  void* Tag(QueueEvent* event) {
    num_tags_.fetch_add(1, std::memory_order_release);
    return event;
  }
  void Handle(void* tag, bool ok) {
    (void)num_tags_.load(std::memory_order_acquire);
    static_cast<QueueEvent*>(tag)->OnEvent(ok);
  }

 private:
  // gRPC orders an operation's start and its end, but sanitizers do not see that in a library.
  std::atomic<int64_t> num_tags_{0};
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_QUEUE_EVENTS_H_
