#include "tests/benchmark/load/load_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/benchmark/load/load_table.h"

namespace tramontane {
namespace {

using nlohmann::json;
using testing::HasSubstr;

LoadSummary Summary() {
  LoadSummary summary;
  summary.point.concurrency = 8;
  summary.peak_outstanding = 8;
  summary.requests.started = 20;
  summary.requests.ok = 17;
  summary.requests.failed = 3;
  summary.prompt_tokens = 2560;
  summary.output_tokens = 1088;
  summary.messages_with_tokens = 1000;
  summary.errors["RESOURCE_EXHAUSTED"] = {3, "the queue is full"};
  summary.window_s = 4;
  summary.window_requests = 16;
  summary.window_prompt_tokens = 2000;
  summary.window_output_tokens = 1000;
  summary.ttft = {17, 40, 10, 35, 60, 70, 80, 90};
  return summary;
}

LoadReport Report() {
  LoadReport report;
  report.options.points = {{8, 0}, {0, 2.5}};
  report.options.seed = 12345678901234567890u;
  report.options.num_requests = 20;
  report.options.prompt_tokens = *LengthDistribution::Parse("uniform:64:192");
  report.model.set_name("demo");
  report.model.set_vocab_size(512);
  report.started_at = absl::FromUnixSeconds(0);
  report.points = {Summary()};
  return report;
}

TEST(LoadReportTest, ConfigurationIsComplete) {
  const json report = json::parse(ToJson(Report()));
  EXPECT_EQ(report["version"], 1);
  EXPECT_EQ(report["started_at"], "1970-01-01T00:00:00+00:00");
  EXPECT_EQ(report["model"]["name"], "demo");
  const json& configuration = report["configuration"];
  EXPECT_EQ(configuration["sweep"], json::parse(R"([{"concurrency": 8}, {"request_rate": 2.5}])"));
  EXPECT_EQ(configuration["seed"], 12345678901234567890u);
  EXPECT_EQ(configuration["prompt_tokens"], "uniform:64:192");
  EXPECT_TRUE(configuration["temperature"].is_null());
  for (const char* flag :
       {"target", "connections", "num_requests", "duration_s", "warmup_requests", "max_outstanding",
        "drain_timeout_s", "error_backoff_s", "output_tokens", "shared_prefix_tokens",
        "num_prefixes", "ignore_eos", "cancel_fraction", "deadline_s"}) {
    EXPECT_TRUE(configuration.contains(flag)) << flag;
  }
}

TEST(LoadReportTest, PointHasCountsThroughputAndLatencies) {
  const json report = json::parse(ToJson(Report()));
  ASSERT_EQ(report["points"].size(), 1);
  const json& point = report["points"][0];
  EXPECT_EQ(point["mode"], "closed");
  EXPECT_EQ(point["concurrency"], 8);
  EXPECT_FALSE(point.contains("request_rate"));
  EXPECT_EQ(point["requests"]["ok"], 17);
  EXPECT_EQ(point["errors"],
            json::parse(R"({"RESOURCE_EXHAUSTED": {"count": 3, "example": "the queue is full"}})"));
  EXPECT_EQ(point["throughput"]["requests_per_s"], 4);
  EXPECT_EQ(point["throughput"]["prompt_tokens_per_s"], 500);
  EXPECT_EQ(point["throughput"]["output_tokens_per_s"], 250);
  EXPECT_EQ(point["latency_ms"]["ttft"]["count"], 17);
  EXPECT_EQ(point["latency_ms"]["ttft"]["p50"], 35);
  EXPECT_EQ(point["latency_ms"]["ttft"]["max"], 90);
  for (const char* name : {"itl", "tpot", "e2e", "queue", "send_lag"}) {
    EXPECT_EQ(point["latency_ms"][name]["count"], 0) << name;
  }
}

TEST(LoadReportTest, OpenLoopHasItsRateAndAnEmptyWindowNoRates) {
  LoadReport report = Report();
  report.points[0].point = {0, 2.5};
  report.points[0].window_s = 0;
  const json point = json::parse(ToJson(report))["points"][0];
  EXPECT_EQ(point["mode"], "open");
  EXPECT_EQ(point["request_rate"], 2.5);
  EXPECT_EQ(point["throughput"]["output_tokens_per_s"], 0);
}

TEST(LoadReportTest, BytesThatAreNoUtf8DoNotBreakIt) {
  LoadReport report = Report();
  report.points[0].errors["INTERNAL"] = {1, "broken \xFF"};
  EXPECT_TRUE(json::accept(ToJson(report)));
}

TEST(LoadReportTest, FileThatCannotBeWrittenIsNamed) {
  const absl::Status status = WriteFile("/proc/no_such_folder/load.json", "{}");
  EXPECT_TRUE(absl::IsInvalidArgument(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("/proc/no_such_folder/load.json"));
}

TEST(LoadReportTest, FileIsReplaced) {
  const std::string path = testing::TempDir() + "/load_report_test.json";
  ASSERT_TRUE(WriteFile(path, "a longer text").ok());
  ASSERT_TRUE(WriteFile(path, "{}").ok());
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), "{}");
}

TEST(LoadTableTest, PointTellsCountsThroughputAndErrors) {
  const std::string table = PointTable(Summary());
  EXPECT_THAT(table, HasSubstr("concurrency 8\n"));
  EXPECT_THAT(table, HasSubstr("20 started, 17 ok, 3 failed; at most 8 at once"));
  EXPECT_THAT(table, HasSubstr("4.00 requests/s, 500.0 prompt tok/s, 250.0 output tok/s"));
  EXPECT_THAT(table, HasSubstr("RESOURCE_EXHAUSTED: 3, such as \"the queue is full\""));
}

TEST(LoadTableTest, SweepHasALineForEachPoint) {
  LoadSummary open = Summary();
  open.point = {0, 2.5};
  const std::string table = SweepTable({Summary(), open});
  EXPECT_THAT(table, HasSubstr("\nconcurrency 8"));
  EXPECT_THAT(table, HasSubstr("\n2.5 requests/s"));
}

TEST(LoadTableTest, ProgressTellsWhatWasNotSentOnlyWhereThereIsSome) {
  LoadProgress progress;
  progress.started = 12;
  progress.ended = 9;
  EXPECT_THAT(ProgressLine(3, 3, progress, 41.5),
              HasSubstr("3 s  12 started, 3 running, 9 ended, 0 failed; 41.5 tok/s"));
  progress.not_sent = 2;
  EXPECT_THAT(ProgressLine(3, 3, progress, 41.5), HasSubstr("0 failed, 2 not sent; 41.5 tok/s"));
}

}  // namespace
}  // namespace tramontane
