#include "attention_worker/grpc/worker_list_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class WorkerListFileTest : public ::testing::Test {
 protected:
  ~WorkerListFileTest() override { std::filesystem::remove(path_); }

  // As a careful writer does: beside it, then into place.
  void Write(const std::string& text) const {
    const std::string fresh = path_ + ".new";
    std::ofstream(fresh) << text;
    std::filesystem::rename(fresh, path_);
  }
  std::unique_ptr<WorkerListFile> Open() const {
    absl::StatusOr<std::unique_ptr<WorkerListFile>> file =
        WorkerListFile::Open(path_, "expert_workers_file");
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }

  const std::string path_ = ::testing::TempDir() + "workers_" +
                            ::testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(WorkerListFileTest, TakesALineForEachWorkerAndIgnoresComments) {
  Write("# experts 0-3\n127.0.0.1:8481\n\n  workers.svc:8481  # a name\n[::1]:3\n");
  EXPECT_THAT(Open()->Targets(), ElementsAre("127.0.0.1:8481", "workers.svc:8481", "[::1]:3"));
}

TEST_F(WorkerListFileTest, ReadsAgainWhatHasChanged) {
  Write("a:1\n");
  const auto file = Open();
  Write("a:1\nb:2\n");
  EXPECT_THAT(file->Targets(), ElementsAre("a:1", "b:2"));
  Write("b:2\n");
  EXPECT_THAT(file->Targets(), ElementsAre("b:2"));
}

TEST_F(WorkerListFileTest, KeepsTheLastGoodListWhileTheFileIsDamagedEmptyOrAway) {
  Write("a:1\n");
  const auto file = Open();
  for (const char* bad : {"a:1\nnonsense\n", "", "# nobody\n", "a:0\n"}) {
    Write(bad);
    EXPECT_THAT(file->Targets(), ElementsAre("a:1")) << bad;
  }
  std::filesystem::remove(path_);
  EXPECT_THAT(file->Targets(), ElementsAre("a:1"));
  Write("c:3\n");
  EXPECT_THAT(file->Targets(), ElementsAre("c:3"));
}

TEST_F(WorkerListFileTest, WarnsOnceOfADamagedList) {
  Write("a:1\n");
  const auto file = Open();
  Write("a:1\nnonsense\n");
  ::testing::internal::CaptureStderr();
  file->Targets();
  EXPECT_THAT(::testing::internal::GetCapturedStderr(),
              AllOf(HasSubstr("level=warning"), HasSubstr("line 2"), HasSubstr("nonsense")));
  ::testing::internal::CaptureStderr();
  file->Targets();
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "");
}

TEST_F(WorkerListFileTest, AProcessDoesNotStartWithoutAList) {
  const absl::Status missing = WorkerListFile::Open(path_, "expert_workers_file").status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(missing.message()), HasSubstr("--expert_workers_file=" + path_));
  Write("\n");
  EXPECT_EQ(WorkerListFile::Open(path_, "expert_workers_file").status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tramontane
