#include "attention_worker/grpc/worker_lookups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace tramontane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

WorkerAddressOptions LookedUpOnce() {
  WorkerAddressOptions options;
  options.targets = {"a:1", "nowhere:1"};
  options.list_interval = options.resolve_interval = absl::Hours(1);
  options.resolve = [](const std::string& target) -> absl::StatusOr<std::vector<std::string>> {
    if (target != "a:1") return absl::UnavailableError(target + " does not resolve");
    return std::vector<std::string>{"10.0.0.1:1", "10.0.0.2:1"};
  };
  return options;
}

TEST(WorkerLookupsTest, WhatIsFoundIsTakenOnce) {
  std::atomic<int> told = 0;
  WorkerLookups lookups(LookedUpOnce(), [&told] { ++told; });
  const WorkerLookups::Found found = lookups.TakeFirst();
  EXPECT_THAT(found.addresses, ElementsAre("10.0.0.1:1", "10.0.0.2:1"));
  EXPECT_THAT(found.unresolved, ElementsAre(Pair("nowhere:1", HasSubstr("does not resolve"))));
  EXPECT_FALSE(lookups.Take().has_value());
  while (told == 0) continue;
}

TEST(WorkerLookupsTest, NothingIsTakenAndNobodyWaitsWhileALookupTakesItsTime) {
  std::promise<void> answer;
  WorkerAddressOptions options = LookedUpOnce();
  options.resolve = [answered = answer.get_future().share(),
                     resolve = options.resolve](const std::string& target) {
    answered.wait();
    return resolve(target);
  };
  std::promise<void> told;
  WorkerLookups lookups(std::move(options), [&told] { told.set_value(); });
  EXPECT_FALSE(lookups.Take().has_value());
  answer.set_value();
  told.get_future().wait();
  EXPECT_TRUE(lookups.Take().has_value());
}

TEST(WorkerLookupsTest, TheEndDoesNotWaitForANameServerThatIsSilent) {
  std::promise<void> answer, asked;
  std::atomic<int> num_asked = 0;
  auto thread_lives = std::make_shared<int>();
  const std::weak_ptr<int> thread_lived = thread_lives;
  WorkerAddressOptions options = LookedUpOnce();
  options.resolve = [&, lives = std::move(thread_lives), answered = answer.get_future().share()](
                        const std::string&) -> absl::StatusOr<std::vector<std::string>> {
    if (++num_asked == 1) asked.set_value();
    answered.wait();
    return std::vector<std::string>{"10.0.0.1:1"};
  };
  {
    WorkerLookups lookups(std::move(options), [] { ADD_FAILURE() << "told after its end"; });
    asked.get_future().wait();
  }
  answer.set_value();
  while (!thread_lived.expired()) std::this_thread::yield();
  EXPECT_EQ(num_asked, 1) << "nobody wants the other target's addresses";
}

}  // namespace
}  // namespace tramontane
