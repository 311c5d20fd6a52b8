#include "attention_worker/activations.h"

#include <gtest/gtest.h>

#include "kernels/backend.h"

namespace tramontane {
namespace {

// However odd a row is: the routing behind any number of rows, from any row on, is aligned and lies
// before the next micro-batch's rows.
TEST(ActivationsTest, ARoutingFitsBehindItsRows) {
  const auto backend = CreateReferenceBackend(DType::kBF16);
  for (const int hidden_size : {7, 72, 4096}) {
    for (const int num_experts : {3, 8, 12}) {
      MixtralConfig config;
      config.hidden_size = hidden_size;
      config.num_experts = num_experts;
      config.top_k = 2;
      config.num_layers = config.num_heads = config.num_kv_heads = config.head_dim = 1;
      config.vocab_size = 5;
      const auto activations = AllocateActivations(config, {.max_rows = 9}, backend.get());
      ASSERT_TRUE(activations.ok()) << activations.status();
      const RowBuffer& rows = activations->normed;
      for (int64_t first = 0; first < 9; ++first) {
        for (int64_t count = 1; first + count <= 9; ++count) {
          const std::byte* const behind = rows.row(first) + (count * hidden_size * 2 + 3) / 4 * 4;
          EXPECT_EQ((behind - rows.row(0)) % 4, 0);
          EXPECT_LE(behind + count * (num_experts * 4 + 2 * 8), rows.row(first + count));
        }
      }
    }
  }
}

}  // namespace
}  // namespace tramontane
