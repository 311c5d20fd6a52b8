#include "expert_worker/hosted_experts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/expert_worker/fixtures.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(HostedExpertsTest, HostsTheSetAndNoMore) {
  const std::unique_ptr<Backend> backend = CreateReferenceBackend(DType::kF32);
  const auto experts = LoadGolden("tiny_f32", "0:1-2,1:7", backend.get());
  for (int layer = 0; layer < 2; ++layer) {
    for (int expert = 0; expert < 8; ++expert) {
      EXPECT_EQ(experts->Find(layer, expert) != nullptr, experts->set().Contains(layer, expert));
    }
  }
  EXPECT_EQ(experts->Find(0, 1)->hidden_size(), 64);
  EXPECT_EQ(experts->Find(0, 1)->intermediate_size(), 96);
}

TEST(HostedExpertsTest, FindsNothingOutOfRange) {
  const std::unique_ptr<Backend> backend = CreateReferenceBackend(DType::kF32);
  const auto experts = LoadGolden("tiny_f32", "all", backend.get());
  EXPECT_EQ(experts->Find(2, 0), nullptr);
  EXPECT_EQ(experts->Find(0, 8), nullptr);
  EXPECT_EQ(experts->Find(-1, 0), nullptr);
}

TEST(HostedExpertsTest, EndsWithALineOfWhatWasMappedAndPacked) {
  const std::unique_ptr<Backend> backend = CreateReferenceBackend(DType::kF32);
  ::testing::internal::CaptureStderr();
  LoadGolden("tiny_f32", "0:0", backend.get());
  // w1, w3 and w2 of one expert: 3 * 64 * 96 floats.
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("experts loaded"), HasSubstr("mapped_bytes=73728"),
                    HasSubstr("packed_bytes="), HasSubstr("seconds="), HasSubstr("gb_per_s=")));
}

TEST(HostedExpertsTest, RefusesASetForAnotherModel) {
  const std::unique_ptr<Backend> backend = CreateReferenceBackend(DType::kF32);
  const absl::StatusOr<ExpertSet> set = ExpertSet::Parse("all", 3, 8);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(HostedExperts::Load(OpenGolden("tiny_f32"), *set, backend.get()).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tramontane
