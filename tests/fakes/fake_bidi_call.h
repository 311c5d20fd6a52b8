// A bidirectional call of a server without a peer, for streams that shall meet what gRPC does
// rarely.
#ifndef TRAMONTANE_TESTS_FAKES_FAKE_BIDI_CALL_H_
#define TRAMONTANE_TESTS_FAKES_FAKE_BIDI_CALL_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace tramontane {

// What a stream asks of gRPC. Nothing is done by itself: the test calls the stream's On… methods.
// Thread-safe.
class FakeBidiCall final
    : public grpc::ServerCallbackReaderWriter<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  using Stream = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

  // As when the method's handler has returned. `stream` outlives the call.
  void Bind(Stream* stream) {
    stream_ = stream;
    BindReactor(stream);
  }

  // The next one to start is seen by gRPC, but its caller gets no further until it is let go.
  void HoldNextRead() { Hold(reads_); }
  void HoldNextWrite() { Hold(writes_); }
  void WaitForHeldRead() { WaitFor(reads_); }
  void WaitForHeldWrite() { WaitFor(writes_); }
  void LetReadGo() { LetGo(reads_); }
  void LetWriteGo() { LetGo(writes_); }

  // The read that has started ends with this message.
  void CompleteRead(const grpc::ByteBuffer& message) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      *incoming_ = message;
    }
    stream_->OnReadDone(true);
  }

  int num_reads() { return NumStarted(reads_); }
  // Of the end, once there is one.
  std::optional<grpc::Status> status() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return status_;
  }
  // After the end gRPC may free the call at any time: each of these would use freed memory.
  int num_started_after_finish() {
    const std::lock_guard<std::mutex> lock(mutex_);
    return num_started_after_finish_;
  }

  void Read(grpc::ByteBuffer* message) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      incoming_ = message;
    }
    Begin(reads_);
  }
  void Write(const grpc::ByteBuffer* /*message*/, grpc::WriteOptions /*options*/) override {
    Begin(writes_);
  }
  void Finish(grpc::Status status) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (status_.has_value()) ++num_started_after_finish_;
    status_ = std::move(status);
  }
  void WriteAndFinish(const grpc::ByteBuffer* message, grpc::WriteOptions options,
                      grpc::Status status) override {
    Write(message, options);
    Finish(std::move(status));
  }
  void SendInitialMetadata() override {}

 private:
  // One kind of operation.
  struct Operations {
    int num_started = 0;
    bool hold_next = false;
    bool held = false;
  };

  grpc::internal::ServerReactor* reactor() override { return stream_; }
  void CallOnDone() override {}

  void Hold(Operations& operations) {
    const std::lock_guard<std::mutex> lock(mutex_);
    operations.hold_next = true;
  }
  void WaitFor(Operations& operations) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&operations] { return operations.held; });
  }
  void LetGo(Operations& operations) {
    const std::lock_guard<std::mutex> lock(mutex_);
    operations.held = false;
    changed_.notify_all();
  }
  int NumStarted(const Operations& operations) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return operations.num_started;
  }
  void Begin(Operations& operations) {
    std::unique_lock<std::mutex> lock(mutex_);
    ++operations.num_started;
    if (status_.has_value()) ++num_started_after_finish_;
    operations.held = operations.hold_next;
    operations.hold_next = false;
    changed_.notify_all();
    changed_.wait(lock, [&operations] { return !operations.held; });
  }

  Stream* stream_ = nullptr;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, all of them.
  grpc::ByteBuffer* incoming_ = nullptr;
  Operations reads_;
  Operations writes_;
  std::optional<grpc::Status> status_;
  int num_started_after_finish_ = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_FAKES_FAKE_BIDI_CALL_H_
