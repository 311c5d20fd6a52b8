#include "coordinator/admission.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace tramontane {
namespace {

class AdmissionTest : public testing::Test {
 protected:
  AdmissionTest() {
    for (int worker = 0; worker < 2; ++worker) {
      events_->AddLoop();
      admission_.AddWorker();
    }
  }

  void Enter(SequenceId id) {
    GenerationPlan plan;
    plan.prompt_token_ids = {5, 6, 7};
    plan.max_tokens = 4;
    std::vector<std::unique_ptr<Sequence>> completions;
    completions.push_back(std::make_unique<Sequence>(id, std::move(plan), /*tokenizer=*/nullptr,
                                                     std::make_shared<TokenStream>(64, nullptr),
                                                     absl::UnixEpoch(), absl::InfiniteFuture()));
    Refusal refusal{};
    EXPECT_TRUE(admission_.Enter(std::move(completions), refusal).ok());
  }

  // Whether the worker's loop was woken since it was asked last.
  bool Woken(int worker) { return events_->wake(worker).WaitFor(absl::ZeroDuration()); }

  const std::shared_ptr<StreamEvents> events_ = std::make_shared<StreamEvents>();
  Admission admission_{/*kv_block_size=*/16, events_, {}};
};

TEST_F(AdmissionTest, AWorkerWithoutRoomWakesTheOthersAndNotItself) {
  Enter(1);
  Enter(2);
  EXPECT_TRUE(Woken(0));
  EXPECT_TRUE(Woken(1));
  admission_.SetLoad(0, {.ready = true, .serving = true});
  std::unique_ptr<Sequence> next = admission_.Next(0);
  ASSERT_NE(next, nullptr);
  EXPECT_TRUE(Woken(1)) << "the second one may be its own";
  admission_.Return(std::move(next));
  admission_.SetLoad(0, {.ready = false, .serving = true});
  EXPECT_TRUE(Woken(1));
  EXPECT_FALSE(Woken(0));
}

}  // namespace
}  // namespace tramontane
