#include "tests/expert_worker/fixtures.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>

#include "kernels/expert_ffn.h"

namespace tramontane {

std::shared_ptr<const Checkpoint> OpenGolden(const std::string& name) {
  absl::StatusOr<std::shared_ptr<const Checkpoint>> checkpoint =
      Checkpoint::Open(std::string(TRAMONTANE_SOURCE_DIR "/tests/golden/") + name);
  EXPECT_TRUE(checkpoint.ok()) << checkpoint.status();
  return checkpoint.ok() ? *checkpoint : nullptr;
}

std::unique_ptr<HostedExperts> LoadGolden(const std::string& name, const std::string& spec,
                                          Backend* backend) {
  const std::shared_ptr<const Checkpoint> checkpoint = OpenGolden(name);
  const absl::StatusOr<ExpertSet> set =
      ExpertSet::Parse(spec, checkpoint->config().num_layers, checkpoint->config().num_experts);
  EXPECT_TRUE(set.ok()) << set.status();
  absl::StatusOr<std::unique_ptr<HostedExperts>> experts =
      HostedExperts::Load(checkpoint, *set, backend);
  EXPECT_TRUE(experts.ok()) << experts.status();
  return experts.ok() ? *std::move(experts) : nullptr;
}

std::vector<std::byte> MakeRows(int64_t num_rows, int64_t hidden_size, DType dtype, int seed) {
  const size_t element = DTypeSize(dtype);
  std::vector<std::byte> rows(static_cast<size_t>(num_rows * hidden_size) * element);
  for (int64_t i = 0; i < num_rows * hidden_size; ++i) {
    const float value = static_cast<float>((i * 37 + seed * 101) % 199 - 99) / 64.0f;
    if (dtype == DType::kF32) {
      std::memcpy(rows.data() + i * 4, &value, 4);
    } else {
      const BFloat16 rounded = ToBFloat16(value);
      std::memcpy(rows.data() + i * 2, &rounded, 2);
    }
  }
  return rows;
}

std::vector<std::byte> ComputeDirectly(const HostedExperts& experts, const ExpertTask& task) {
  const size_t row_bytes =
      static_cast<size_t>(experts.config().hidden_size) * DTypeSize(task.row_dtype);
  std::vector<std::byte> output(task.row_indices.size() * row_bytes);
  std::vector<const std::byte*> inputs;
  for (const int32_t row : task.row_indices) inputs.push_back(task.rows[static_cast<size_t>(row)]);
  std::vector<ExpertRows> groups;
  size_t pair = 0;
  for (size_t i = 0; i < task.expert_ids.size(); ++i) {
    const size_t count = static_cast<size_t>(task.rows_per_expert[i]);
    groups.push_back({experts.Find(task.layer, task.expert_ids[i]),
                      std::span(inputs).subspan(pair, count), output.data() + pair * row_bytes});
    pair += count;
  }
  ExpertFfnArgs args;
  args.groups = groups;
  experts.backend()->ExpertFfn(args);
  return output;
}

std::vector<std::byte> AnswerBytes(const HostedExperts& experts, const ExpertTaskResult& result) {
  const int64_t row_bytes = int64_t{experts.config().hidden_size} *
                            static_cast<int64_t>(DTypeSize(experts.backend()->compute_dtype()));
  const std::byte* bytes = result.rows->bytes();
  return std::vector<std::byte>(bytes, bytes + result.num_rows * row_bytes);
}

ExpertTask MakeTask(const HostedExperts& experts, const std::vector<std::byte>& rows, int layer,
                    const std::vector<int32_t>& expert_ids,
                    const std::vector<std::vector<int32_t>>& pairs) {
  ExpertTask task;
  task.layer = layer;
  task.row_dtype = experts.backend()->compute_dtype();
  const size_t row_bytes =
      static_cast<size_t>(experts.config().hidden_size) * DTypeSize(task.row_dtype);
  for (size_t at = 0; at < rows.size(); at += row_bytes) task.rows.push_back(rows.data() + at);
  task.expert_ids = expert_ids;
  for (const std::vector<int32_t>& indices : pairs) {
    task.rows_per_expert.push_back(static_cast<int32_t>(indices.size()));
    task.row_indices.insert(task.row_indices.end(), indices.begin(), indices.end());
  }
  return task;
}

void AbortNobodyAnswered() {
  std::fprintf(stderr, "nobody answered within a minute\n");
  std::abort();
}

}  // namespace tramontane
