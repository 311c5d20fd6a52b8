#include "attention_worker/replica_backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tramontane {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ExpertWorkerDescription Worker(const std::string& backend, int first, int last) {
  ExpertWorkerDescription worker;
  worker.backend = backend;
  for (int expert = first; expert <= last; ++expert) worker.experts.push_back({0, expert});
  return worker;
}

TEST(ReplicaBackendsTest, ReplicasOfOneBackendServeTogether) {
  ReplicaBackends backends;
  EXPECT_TRUE(backends.Claim("a:1", Worker("cuda-sm_90", 0, 3)).ok());
  EXPECT_TRUE(backends.Claim("b:1", Worker("cuda-sm_90", 2, 5)).ok());
}

TEST(ReplicaBackendsTest, OtherExpertsMayHaveAnotherBackend) {
  ReplicaBackends backends;
  EXPECT_TRUE(backends.Claim("a:1", Worker("cuda-sm_90", 0, 3)).ok());
  EXPECT_TRUE(backends.Claim("b:1", Worker("cpu-avx2", 4, 7)).ok());
}

TEST(ReplicaBackendsTest, AReplicaOfAnotherBackendIsRefusedWithWhatToDo) {
  ReplicaBackends backends;
  ASSERT_TRUE(backends.Claim("a:1", Worker("cuda-sm_90", 0, 3)).ok());
  const absl::Status refused = backends.Check("b:1", Worker("cpu-avx2", 3, 7));
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(
      std::string(refused.message()),
      AllOf(HasSubstr("worker b:1: expected the backend cuda-sm_90 as of a:1"),
            HasSubstr("expert 3 of layer 0; found cpu-avx2"), HasSubstr("--allow_mixed_backends")));
  EXPECT_EQ(backends.Claim("b:1", Worker("cpu-avx2", 3, 7)), refused);
}

TEST(ReplicaBackendsTest, TheOneWorkerOfAnAddressMayChange) {
  ReplicaBackends backends;
  ASSERT_TRUE(backends.Claim("a:1", Worker("cuda-sm_90", 0, 3)).ok());
  EXPECT_TRUE(backends.Claim("a:1", Worker("cpu-avx2", 0, 3)).ok());
  EXPECT_TRUE(backends.Check("b:1", Worker("cpu-avx2", 0, 3)).ok());
}

TEST(ReplicaBackendsTest, ReplicasThatChangeOneAfterTheOtherServeInTheEnd) {
  ReplicaBackends backends;
  ASSERT_TRUE(backends.Claim("a:1", Worker("cpu-avx2", 0, 3)).ok());
  ASSERT_TRUE(backends.Claim("b:1", Worker("cpu-avx2", 0, 3)).ok());
  EXPECT_FALSE(backends.Check("a:1", Worker("cuda-sm_90", 0, 3)).ok());  // b is as it was
  EXPECT_TRUE(backends.Check("b:1", Worker("cuda-sm_90", 0, 3)).ok());
  EXPECT_TRUE(backends.Claim("b:1", Worker("cuda-sm_90", 0, 3)).ok());
  EXPECT_TRUE(backends.Check("a:1", Worker("cuda-sm_90", 0, 3)).ok());
}

TEST(ReplicaBackendsTest, AnAddressThatIsNoLongerListedDecidesNothing) {
  ReplicaBackends backends;
  ASSERT_TRUE(backends.Claim("a:1", Worker("cuda-sm_90", 0, 3)).ok());
  backends.Forget("a:1");
  EXPECT_TRUE(backends.Check("b:1", Worker("cpu-avx2", 0, 3)).ok());
}

}  // namespace
}  // namespace tramontane
