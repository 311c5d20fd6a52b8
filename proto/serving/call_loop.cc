#include "proto/serving/call_loop.h"

#include <grpc/support/time.h>
#include <grpcpp/impl/rpc_service_method.h>
#include <grpcpp/impl/service_type.h>

#include <atomic>
#include <chrono>
#include <utility>

#include "model/check.h"
#include "proto/serving/polling.h"

namespace tramontane {
namespace {

// Held reads begin after so many events at the latest, should there be no end to these.
constexpr int kMostEventsBeforeReads = 64;

thread_local const CallLoop* loop_of_this_thread = nullptr;

// "/tramontane.v1.ExpertWorker/Execute": up to the last slash.
std::string ServiceOf(const std::string& path) { return path.substr(0, path.rfind('/')); }

}  // namespace

// One service, whose methods' calls are asked for.
class CallLoop::MethodsOfService final : public grpc::Service {
 public:
  explicit MethodsOfService(std::vector<LoopMethod> methods) : methods_(std::move(methods)) {
    for (size_t i = 0; i < methods_.size(); ++i) {
      AddMethod(new grpc::internal::RpcServiceMethod(
          methods_[i].path.c_str(), grpc::internal::RpcMethod::BIDI_STREAMING, nullptr));
      MarkMethodAsync(static_cast<int>(i));
    }
  }

  const std::vector<LoopMethod>& methods() const { return methods_; }
  void Request(int method, grpc::GenericServerContext* context,
               grpc::GenericServerAsyncReaderWriter* stream, grpc::ServerCompletionQueue* queue,
               void* tag) {
    RequestAsyncBidiStreaming(method, context, stream, queue, queue, tag);
  }

 private:
  const std::vector<LoopMethod> methods_;  // whose paths gRPC refers to
};

// A call from when it is asked for to its end: a reactor's operations as those of a completion
// queue. Deletes itself.
class CallLoop::Call final
    : public grpc::ServerCallbackReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Call(CallLoop* loop, const Source* source) : loop_(loop), source_(source) {}

  void Request() {
    context_.AsyncNotifyWhenDone(loop_->tags_.Tag(&ended_));
    source_->request(&context_, &stream_, loop_->queue_.get(), loop_->tags_.Tag(&accepted_));
  }

  void Read(grpc::ByteBuffer* message) override {
    Begin();
    if (loop_of_this_thread != loop_) {
      stream_.Read(message, loop_->tags_.Tag(&read_));
      return;
    }
    held_read_.store(message);
    loop_->HoldRead(this);
  }
  void StartHeldRead() {
    grpc::ByteBuffer* const message = held_read_.exchange(nullptr);
    if (message != nullptr) stream_.Read(message, loop_->tags_.Tag(&read_));
  }
  void Write(const grpc::ByteBuffer* message, grpc::WriteOptions options) override {
    Begin();
    stream_.Write(*message, options, loop_->tags_.Tag(&written_));
  }
  void Finish(grpc::Status status) override {
    StartHeldRead();
    stream_.Finish(status, loop_->tags_.Tag(&finished_));
  }
  void WriteAndFinish(const grpc::ByteBuffer* message, grpc::WriteOptions options,
                      grpc::Status status) override {
    StartHeldRead();
    stream_.WriteAndFinish(*message, options, status, loop_->tags_.Tag(&finished_));
  }
  void SendInitialMetadata() override {
    Begin();
    stream_.SendInitialMetadata(loop_->tags_.Tag(&metadata_sent_));
  }

 private:
  using Operation = MemberEvent<Call>;

  grpc::internal::ServerReactor* reactor() override { return reactor_; }
  void CallOnDone() override {}

  void OnAccepted(bool ok) {
    if (!ok) return Delete();  // the server shuts down; `ended_` does not come then
    loop_->Request(source_);
    reactor_ = source_->open(&context_);
    BindReactor(reactor_);
  }
  void OnRead(bool ok) {
    reactor_->OnReadDone(ok);
    End();
  }
  void OnWritten(bool ok) {
    reactor_->OnWriteDone(ok);
    End();
  }
  void OnMetadataSent(bool ok) {
    reactor_->OnSendInitialMetadataDone(ok);
    End();
  }
  void OnFinished(bool /*ok*/) { End(); }
  void OnEnded(bool /*ok*/) {
    if (context_.IsCancelled()) reactor_->OnCancel();
    End();
  }

  // An operation that the reactor waits for.
  void Begin() { num_pending_.fetch_add(1, std::memory_order_relaxed); }
  void End() {
    if (num_pending_.fetch_sub(1, std::memory_order_acq_rel) > 1) return;
    reactor_->OnDone();
    Delete();
  }
  void Delete() {
    CallLoop* const loop = loop_;
    std::erase(loop->held_, this);  // its read has begun by itself
    delete this;
    loop->EndCall();
  }

  CallLoop* const loop_;
  const Source* const source_;
  grpc::GenericServerContext context_;
  grpc::GenericServerAsyncReaderWriter stream_{&context_};
  CallReactor* reactor_ = nullptr;
  std::atomic<int> num_pending_{2};  // of `ended_` and `finished_`, and what has begun
  // Where a read is to go that has yet to begin.
  std::atomic<grpc::ByteBuffer*> held_read_{nullptr};

  Operation accepted_{this, &Call::OnAccepted};
  Operation ended_{this, &Call::OnEnded};
  Operation read_{this, &Call::OnRead};
  Operation written_{this, &Call::OnWritten};
  Operation metadata_sent_{this, &Call::OnMetadataSent};
  Operation finished_{this, &Call::OnFinished};
};

CallLoop::CallLoop(const std::vector<LoopMethod>& methods, OpenUnknown open_unknown,
                   absl::Duration spin)
    : spin_(spin) {
  for (auto method = methods.begin(); method != methods.end();) {
    std::vector<LoopMethod> of_service;
    const std::string service = ServiceOf(method->path);
    for (; method != methods.end() && ServiceOf(method->path) == service; ++method) {
      of_service.push_back(*method);
    }
    services_.push_back(std::make_unique<MethodsOfService>(std::move(of_service)));
  }
  for (const auto& service : services_) {
    for (size_t i = 0; i < service->methods().size(); ++i) {
      sources_.push_back(std::make_unique<const Source>(
          Source{[service = service.get(), i](auto* context, auto* stream, auto* queue, void* tag) {
                   service->Request(static_cast<int>(i), context, stream, queue, tag);
                 },
                 service->methods()[i].open}));
    }
  }
  sources_.push_back(std::make_unique<const Source>(
      Source{[this](auto* context, auto* stream, auto* queue, void* tag) {
               unknown_.RequestCall(context, stream, queue, queue, tag);
             },
             [open = std::move(open_unknown)](grpc::GenericServerContext* context) {
               return open(context->method());
             }}));
}

CallLoop::~CallLoop() { Stop(); }

void CallLoop::Register(grpc::ServerBuilder& builder) {
  for (const auto& service : services_) builder.RegisterService(service.get());
  builder.RegisterAsyncGenericService(&unknown_);
  queue_ = builder.AddCompletionQueue();
}

void CallLoop::Start() {
  TRAMONTANE_CHECK(queue_ != nullptr);
  for (const auto& source : sources_) Request(source.get());
  thread_ = std::thread([this] { Run(); });
}

void CallLoop::Stop() {
  if (!thread_.joinable()) return;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    call_ended_.wait(lock, [this] { return num_calls_ == 0; });
  }
  // Nothing uses the queue any more.
  queue_->Shutdown();
  thread_.join();
}

void CallLoop::Request(const Source* source) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return;
    ++num_calls_;
  }
  (new Call(this, source))->Request();
}

void CallLoop::EndCall() {
  const std::lock_guard<std::mutex> lock(mutex_);
  --num_calls_;
  call_ended_.notify_all();
}

bool CallLoop::Look(void** tag, bool* ok) {
  using Queue = grpc::CompletionQueue;
  const Queue::NextStatus found = queue_->AsyncNext(tag, ok, gpr_inf_past(GPR_CLOCK_MONOTONIC));
  shut_down_ = found == Queue::SHUTDOWN;
  return found != Queue::TIMEOUT;
}

void CallLoop::StartHeldReads() {
  num_since_reads_ = 0;
  for (Call* call : held_) call->StartHeldRead();
  held_.clear();
}

bool CallLoop::Next(void** tag, bool* ok) {
  using std::chrono::steady_clock;
  if (++num_since_reads_ >= kMostEventsBeforeReads) StartHeldReads();
  // What has come already is handed out without a poll, so this ends once a poll found nothing.
  if (Look(tag, ok)) return !shut_down_;
  StartHeldReads();
  if (spin_ > absl::ZeroDuration()) {
    const auto end = steady_clock::now() + absl::ToChronoNanoseconds(spin_);
    do {
      if (Look(tag, ok)) return !shut_down_;
      BetweenLooks();
    } while (steady_clock::now() < end);
  }
  return queue_->Next(tag, ok);
}

void CallLoop::Run() {
  loop_of_this_thread = this;
  void* tag = nullptr;
  bool ok = false;
  while (Next(&tag, &ok)) tags_.Handle(tag, ok);
}

}  // namespace tramontane
