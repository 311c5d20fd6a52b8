#include "attention_worker/expert_probe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kernels/elements.h"
#include "tests/attention_worker/model_under_test.h"
#include "tests/fakes/fake_expert_client.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

template <typename T>
T OrDie(absl::StatusOr<T> value) {
  EXPECT_TRUE(value.ok()) << value.status();
  return *std::move(value);
}

class ExpertProbeTest : public ::testing::Test {
 protected:
  static std::unique_ptr<Backend> NewCpuBackend(const std::string& isa = "") {
    CpuBackendOptions options;
    options.num_threads = 1;
    options.isa = isa;
    return OrDie(CreateCpuBackend(options));
  }

  void StartWorker(std::unique_ptr<Backend> backend) {
    weights_ = OrDie(FakeExpertWeights::Load(checkpoint_, std::move(backend)));
    worker_ = std::make_shared<FakeExpertClient>(
        "worker:1", weights_,
        ExpertsOfEveryLayer(checkpoint_->config(), 0, checkpoint_->config().num_experts - 1));
  }

  // The worker's answers with element 3 of the row moved by `factor`.
  void Falsify(float factor) {
    worker_->AnswerWith(
        [this, factor](const ExpertBatch& batch) -> absl::StatusOr<ExpertBatchResult> {
          absl::StatusOr<ExpertBatchResult> answer = weights_->Compute(batch);
          auto* row = const_cast<std::byte*>(answer->row_pointers[0]);  // of the answer alone
          StoreElement(row, batch.row_dtype, 3, factor * LoadElement(row, batch.row_dtype, 3));
          return answer;
        });
  }

  absl::Status Probe(int wrong_answers = 0) { return probe_->Probe(worker_, wrong_answers); }

  const std::shared_ptr<const Checkpoint> checkpoint_ =
      OrDie(Checkpoint::Open(CheckpointDirectory("tiny_bf16_sharded")));
  const std::unique_ptr<ExpertProbe> probe_ =
      std::make_unique<ExpertProbe>(checkpoint_, NewCpuBackend(), ExpertProbeOptions());
  std::shared_ptr<FakeExpertWeights> weights_;
  std::shared_ptr<FakeExpertClient> worker_;
};

TEST_F(ExpertProbeTest, PassesAWorkerOfTheSameWeights) {
  StartWorker(NewCpuBackend());
  EXPECT_TRUE(Probe().ok()) << Probe();
}

TEST_F(ExpertProbeTest, RefusesOneWrongBitFromTheSameKernels) {
  StartWorker(NewCpuBackend());
  worker_->AnswerWith([this](const ExpertBatch& batch) -> absl::StatusOr<ExpertBatchResult> {
    absl::StatusOr<ExpertBatchResult> answer = weights_->Compute(batch);
    *const_cast<std::byte*>(answer->row_pointers[0]) ^= std::byte{1};
    return answer;
  });
  const absl::Status refused = Probe();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()),
              AllOf(HasSubstr("worker:1"), HasSubstr("layer 0 expert 0"),
                    HasSubstr("expected the same bits"), HasSubstr("SHA-256")));
}

TEST_F(ExpertProbeTest, TakesRoundingsOfOtherKernels) {
  StartWorker(CreateReferenceBackend(DType::kBF16));
  EXPECT_TRUE(Probe().ok()) << Probe();
}

TEST_F(ExpertProbeTest, RefusesWrongNumbersFromOtherKernels) {
  StartWorker(CreateReferenceBackend(DType::kBF16));
  Falsify(-100.0f);
  const absl::Status refused = Probe();
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("expected at most"));
}

TEST_F(ExpertProbeTest, RefusesWhatIsNoNumberFromOtherKernels) {
  StartWorker(CreateReferenceBackend(DType::kBF16));
  Falsify(std::numeric_limits<float>::quiet_NaN());
  EXPECT_EQ(Probe().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ExpertProbeTest, AsksAboutOtherExpertsAfterEachWrongAnswer) {
  StartWorker(NewCpuBackend());
  std::set<std::pair<int, int>> asked;
  for (int wrong_answers = 0; wrong_answers < 3; ++wrong_answers) {
    EXPECT_TRUE(Probe(wrong_answers).ok());
  }
  for (const ExpertBatch& batch : worker_->batches()) {
    asked.emplace(batch.layer, batch.expert_ids.front());
  }
  EXPECT_THAT(asked, SizeIs(5));
}

TEST_F(ExpertProbeTest, PassesOnWhyThereIsNoAnswer) {
  StartWorker(NewCpuBackend());
  worker_->AnswerWith(
      [](const ExpertBatch&) { return absl::ResourceExhaustedError("the queue is full"); });
  const absl::Status status = Probe();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("the queue is full"));
}

TEST_F(ExpertProbeTest, SetsADeadline) {
  StartWorker(NewCpuBackend());
  ASSERT_TRUE(Probe().ok());
  EXPECT_NE(worker_->batches().front().deadline, absl::InfiniteFuture());
}

}  // namespace
}  // namespace tramontane
