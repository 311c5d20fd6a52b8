// The calls of a gRPC server on one thread, which polls its connections itself.
#ifndef TRAMONTANE_PROTO_SERVING_CALL_LOOP_H_
#define TRAMONTANE_PROTO_SERVING_CALL_LOOP_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/server_callback.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "proto/serving/queue_events.h"

namespace tramontane {

// What handles a call, whose messages are bytes.
using CallReactor = grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>;

// Unary methods too: on the wire they are streams of one message each way.
struct LoopMethod {
  std::string path;  // "/tramontane.v1.ExpertWorker/Execute"
  // Its reactor is told of the call's end by OnDone, last, and is not the loop's to delete.
  std::function<CallReactor*(grpc::ServerContext* context)> open;
};

// The methods of a server, with reactors as gRPC's callbacks have them, whose On… methods are
// called by one thread: the one that polls, once they have returned. What takes long belongs
// elsewhere. Operations may be started from any thread.
//
// gRPC's own callbacks come from threads that pass the polling on, each time to one that sleeps,
// before they read what they found, and so never from the thread, and the processor, that handled
// the last message: a third of what the hop cost (docs/benchmarks.md, "The hop on one device"). For
// that this is a completion queue by hand. It takes that no other one polls the server's
// connections: see PollOwnConnections, and no method may have a callback of gRPC's. A stream of
// reflection does while it is open, and makes calls slower, not wrong.
//
// Reactors' reads begin when all connections have been looked at, so that a peer that sends many
// messages at once does not keep the others waiting.
class CallLoop {
 public:
  // Of a call that no method is there for; `path` is what was called.
  using OpenUnknown = std::function<CallReactor*(const std::string& path)>;

  // Methods of one service stand together. `spin`: for how long the thread looks for events before
  // it sleeps; zero: it sleeps at once.
  CallLoop(const std::vector<LoopMethod>& methods, OpenUnknown open_unknown, absl::Duration spin);
  ~CallLoop();
  CallLoop(const CallLoop&) = delete;
  CallLoop& operator=(const CallLoop&) = delete;

  // Registers the methods, before the server is built.
  void Register(grpc::ServerBuilder& builder);
  // Takes calls, once the server has started.
  void Start();
  // Returns when all calls have ended, after the server's Shutdown has returned. Not from a
  // reactor. Nothing, where nothing was started.
  void Stop();

 private:
  class Call;
  class MethodsOfService;
  // Where calls come from.
  struct Source {
    // Has `tag` come back with the next one.
    std::function<void(grpc::GenericServerContext* context,
                       grpc::GenericServerAsyncReaderWriter* stream,
                       grpc::ServerCompletionQueue* queue, void* tag)>
        request;
    std::function<CallReactor*(grpc::GenericServerContext* context)> open;
  };

  void Run();
  bool Next(void** tag, bool* ok);
  // Looks once, without waiting; false: there is nothing.
  bool Look(void** tag, bool* ok);
  // Of the loop's thread: the call's next read begins after a look.
  void HoldRead(Call* call) { held_.push_back(call); }
  void StartHeldReads();
  // Asks for one more call, unless the loop stops.
  void Request(const Source* source);
  void EndCall();

  const absl::Duration spin_;
  std::vector<std::unique_ptr<MethodsOfService>> services_;
  grpc::AsyncGenericService unknown_;
  std::vector<std::unique_ptr<const Source>> sources_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  // Of the loop's thread.
  std::vector<Call*> held_;  // whose reads begin after a look
  int num_since_reads_ = 0;  // events since held reads began
  bool shut_down_ = false;   // the queue said so
  QueueTags tags_;

  std::mutex mutex_;
  std::condition_variable call_ended_;
  int num_calls_ ABSL_GUARDED_BY(mutex_) = 0;  // running, or asked for
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;

  std::thread thread_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_PROTO_SERVING_CALL_LOOP_H_
