// One Generate stream of a load run, on gRPC's callback API: no thread of its own.
#ifndef TRAMONTANE_TESTS_BENCHMARK_LOAD_GENERATE_CALL_H_
#define TRAMONTANE_TESTS_BENCHMARK_LOAD_GENERATE_CALL_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <functional>

#include "proto/inference.grpc.pb.h"
#include "tests/benchmark/load/load_recorder.h"

namespace tramontane {

// Reads its stream to the end, records it, and deletes itself. gRPC calls it from one thread at a
// time.
class GenerateCall final : public grpc::ClientReadReactor<v1::GenerateResponse> {
 public:
  // Told once, at the end, just before the call is gone: with what is to be recorded, of which
  // `cancelled` is set where the call followed its plan.
  using OnEnd = std::function<void(GenerateCall*, const RequestTimeline&, const RequestEnd&)>;

  // `recorder` and `context` live until `on_end`, which may end both. `cancel_after_tokens` 0:
  // never.
  GenerateCall(LoadRecorder* recorder, grpc::ClientContext* context,
               const RequestTimeline& timeline, uint64_t cancel_after_tokens, OnEnd on_end);

  // `request` is read before this returns; the call may be gone by then.
  void Start(v1::Inference::Stub& stub, const v1::GenerateRequest& request);

  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  LoadRecorder* const recorder_;
  grpc::ClientContext* const context_;
  const uint64_t cancel_after_tokens_;
  const OnEnd on_end_;
  RequestTimeline timeline_;
  RequestEnd end_;
  bool cancel_sent_ = false;
  v1::GenerateResponse message_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_LOAD_GENERATE_CALL_H_
