#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/backend.h"

namespace tramontane {
namespace {

TEST(CudaAbsentTest, ABuildWithoutCudaNamesThePresetThatHasIt) {
  const auto backend = CreateCudaBackend({});
  EXPECT_EQ(backend.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(backend.status().message()), testing::HasSubstr("preset cuda"));
}

}  // namespace
}  // namespace tramontane
