#include "model/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <regex>
#include <sstream>
#include <thread>
#include <vector>

namespace tramontane {
namespace {

using ::testing::HasSubstr;

template <typename Function>
std::string Stderr(const Function& function) {
  ::testing::internal::CaptureStderr();
  function();
  return ::testing::internal::GetCapturedStderr();
}

TEST(LogTest, ALineHasTimeLevelProcessEventAndFields) {
  InitLog("coordinator");
  const std::string line = Stderr([] {
    Log(LogLevel::kInfo, "worker connected", {{"address", "h:1"}, {"experts", 4}});
  });
  const std::regex format(
      R"(time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info process=coordinator )"
      R"(event="worker connected" address=h:1 experts=4\n)");
  EXPECT_TRUE(std::regex_match(line, format)) << line;
}

TEST(LogTest, ValuesOfEveryKindAreWritten) {
  const std::string_view view = "view";
  const std::string text = "text";
  const std::string line = Stderr([&] {
    Log(LogLevel::kError, "e",
        {{"a", view}, {"b", text}, {"c", 1.5}, {"d", size_t{7}}, {"e", -1}, {"f", "literal"}});
  });
  EXPECT_THAT(line, HasSubstr("level=error"));
  EXPECT_THAT(line, HasSubstr("event=e a=view b=text c=1.5 d=7 e=-1 f=literal\n"));
}

TEST(LogTest, ALineStaysOneLineWhateverTheValue) {
  const std::string line = Stderr([] {
    Log(LogLevel::kWarning, "e",
        {{"text", "two\nlines \"quoted\" \\ \x1b[31m"}, {"empty", ""}, {"pair", "a=b"}});
  });
  EXPECT_THAT(line, HasSubstr(R"(text="two\nlines \"quoted\" \\ \u001b[31m" empty="" pair="a=b")"));
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
}

TEST(LogTest, LevelsBelowTheLeastAreNotWritten) {
  InitLog("p", LogLevel::kWarning);
  EXPECT_EQ(Stderr([] { Log(LogLevel::kInfo, "quiet"); }), "");
  EXPECT_THAT(Stderr([] { Log(LogLevel::kWarning, "loud"); }), HasSubstr("level=warning"));
  InitLog("p", LogLevel::kDebug);
  EXPECT_THAT(Stderr([] { Log(LogLevel::kDebug, "detail"); }), HasSubstr("level=debug"));
}

TEST(LogTest, LinesOfManyThreadsDoNotMix) {
  InitLog("p");
  const std::string value(300, 'x');
  const std::string lines = Stderr([&] {
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 50; ++n) Log(LogLevel::kInfo, "e", {{"value", value}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  });
  std::istringstream stream(lines);
  std::string line;
  int count = 0;
  while (std::getline(stream, line)) {
    EXPECT_THAT(line, ::testing::StartsWith("time="));
    EXPECT_THAT(line, ::testing::EndsWith(" event=e value=" + value));
    ++count;
  }
  EXPECT_EQ(count, 4 * 50);
}

}  // namespace
}  // namespace tramontane
