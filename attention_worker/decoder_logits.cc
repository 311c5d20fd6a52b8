// The end of a decoder's run: logits, or the tokens that they give.
#include <utility>

#include "attention_worker/decoder.h"
#include "kernels/arg_max.h"
#include "kernels/matmul.h"
#include "kernels/rms_norm.h"
#include "kernels/sample_tokens.h"
#include "model/check.h"

namespace tramontane {

void Decoder::QueueLogits(std::span<const LogitRow> rows) {
  TRAMONTANE_CHECK(static_cast<int>(rows.size()) <= max_logit_rows_);
  // Rows that lie together are normalised together: the final norm also gathers.
  for (size_t begin = 0; begin < rows.size();) {
    size_t end = begin + 1;
    while (end < rows.size() && rows[end].row == rows[end - 1].row + 1) ++end;
    backend_->RmsNorm(
        {.input = activations_.residual.row<float>(rows[begin].row),
         .weight = parts_.weights->final_norm.as<float>(),
         .output = activations_.normed.row(0) + NormedBytes(static_cast<int64_t>(begin)),
         .output_dtype = compute_dtype_,
         .num_tokens = static_cast<int64_t>(end - begin),
         .hidden_size = config_.hidden_size,
         .epsilon = config_.rms_norm_eps});
    begin = end;
  }
  backend_->MatMul({.input = activations_.normed.row(0),
                    .weight = parts_.weights->lm_head.get(),
                    .output = activations_.logits.row<float>(0),
                    .num_rows = static_cast<int64_t>(rows.size())});
}

absl::StatusOr<const float*> Decoder::ComputeLogits(std::span<const LogitRow> rows) {
  QueueLogits(rows);
  const std::byte* const logits =
      ForHost(activations_.logits, activations_.host_logits, 0, static_cast<int64_t>(rows.size()));
  const absl::Status finished = Finish();
  if (!finished.ok()) return finished;
  return reinterpret_cast<const float*>(logits);
}

absl::StatusOr<const int32_t*> Decoder::ComputeTokens(std::span<const LogitRow> rows,
                                                      std::span<const TokenSampling> sampling) {
  TRAMONTANE_CHECK(sampling.empty() || sampling.size() == rows.size());
  QueueLogits(rows);
  int32_t* const ids = activations_.sampled_ids.row<int32_t>(0);
  const float* const logits = activations_.logits.row<float>(0);
  const auto num_rows = static_cast<int64_t>(rows.size());
  if (sampling.empty()) {
    backend_->ArgMax(
        {.rows = logits, .ids = ids, .num_rows = num_rows, .num_columns = config_.vocab_size});
  } else {
    backend_->SampleTokens({.rows = logits,
                            .sampling = sampling.data(),
                            .ids = ids,
                            .num_rows = num_rows,
                            .num_columns = config_.vocab_size});
  }
  const absl::Status finished = Finish();
  if (!finished.ok()) return finished;
  return ids;
}

}  // namespace tramontane
