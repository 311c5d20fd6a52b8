// A few layers of a small model, queued as decoders queue them, on a backend with memory of its
// own.
#ifndef TRAMONTANE_TESTS_KERNELS_LAYERS_UNDER_TEST_H_
#define TRAMONTANE_TESTS_KERNELS_LAYERS_UNDER_TEST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "kernels/backend.h"
#include "kernels/kv_layout.h"
#include "tests/kernels/test_tensors.h"

namespace tramontane {

// What layers are tested with, and its name in a test's: "bf16_hops".
struct LayersCase {
  DType compute_dtype;
  bool hops;  // as of LayersUnderTest::Options
};
std::vector<LayersCase> AllLayers();
std::string LayersCaseName(const LayersCase& layers_case);

// Random weights, the same for every backend; all memory is there before the first step. Memory
// that cannot be had ends the process.
class LayersUnderTest {
 public:
  static constexpr int64_t kMaxTokens = 100, kMaxSequences = 8, kMaxPositions = 1008;

  struct Options {
    int num_layers = 1;
    // Whether rows go to experts as to another worker's, and their answers come back, with a Finish
    // before either; else experts are queued behind the attention, and there is one Finish a step.
    bool hops = false;
  };
  LayersUnderTest(Backend* backend, const Options& options);

  // A step of sequences of so many rows each, the first of each at `first_position`.
  absl::Status Step(const std::vector<int64_t>& rows_of_sequences, int64_t first_position);
  // What the last step computed, [rows, hidden_size].
  std::vector<float> HiddenStates() const;

 private:
  struct Layer {
    KvLayer cache;
    std::unique_ptr<PackedMatrix> qkv, output, router;
    std::vector<std::unique_ptr<PackedExpert>> owned_experts;
    std::vector<const PackedExpert*> experts;
  };

  Layer MakeLayer(uint32_t seed);
  std::byte* Own(int64_t num_bytes);
  std::byte* Share(int64_t num_bytes);
  std::unique_ptr<PackedMatrix> Pack(std::vector<int64_t> shape, uint32_t seed);

  void Embed();
  void Normalise();
  void Attend(const Layer& layer, const std::vector<SequenceRows>& sequences);
  void Route(const Layer& layer);
  absl::Status SendToExperts(const Layer& layer);
  void Combine(const std::vector<const std::byte*>& answers);

  Backend* const backend_;
  const Options options_;
  std::vector<Buffer> buffers_;
  std::byte *table_, *hidden_, *norm_, *normed_, *qkv_, *attended_, *logits_, *ids_, *gating_,
      *answers_;
  std::byte *sent_, *result_;  // shared with the host
  std::vector<Layer> layers_;
  int64_t num_tokens_ = 0;  // of the last step
};

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_LAYERS_UNDER_TEST_H_
