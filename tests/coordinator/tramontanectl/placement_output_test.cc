#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "coordinator/tramontanectl/placement_json.h"
#include "coordinator/tramontanectl/placement_table.h"

namespace tramontane {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

v1::PlacedExpertWorker Worker() {
  v1::PlacedExpertWorker worker;
  worker.set_address("10.0.0.1:8481");
  worker.set_state(v1::PLACED_WORKER_STATE_SET_ASIDE);
  worker.set_state_seconds(200);
  worker.set_last_error("layer 3\nexpert 1: no answer");
  worker.set_last_error_seconds(7);
  worker.set_times_set_aside(4);
  v1::ExpertRange* range = worker.add_experts();
  range->set_last_layer(31);
  range->set_last_expert(3);
  return worker;
}

ProcessPlacement Process() {
  ProcessPlacement process;
  process.address = "127.0.0.1:8470";
  process.placement.set_role("coordinator");
  process.placement.set_num_layers(32);
  process.placement.set_num_experts(8);
  *process.placement.add_expert_workers() = Worker();
  process.placement.set_experts_with_min_replicas("layer 0: experts 4-7");
  return process;
}

TEST(PlacementTableTest, ALineTellsTheStateAndTheLastErrorOfAWorker) {
  EXPECT_THAT(PlacementTable({Process()}),
              AllOf(HasSubstr("coordinator 127.0.0.1:8470: 32 layers of 8 experts\n"),
                    HasSubstr("10.0.0.1:8481"), HasSubstr("set_aside"), HasSubstr("3m20s"),
                    HasSubstr("0-3"), HasSubstr("layer 3 expert 1: no answer (7s ago)"),
                    HasSubstr("without a worker: layer 0: experts 4-7")));
}

TEST(PlacementTableTest, NamesLayersWhereTheyAreNotAll) {
  v1::PlacedExpertWorker worker = Worker();
  worker.mutable_experts(0)->set_last_layer(15);
  v1::ExpertRange* range = worker.add_experts();
  range->set_first_layer(16);
  range->set_last_layer(31);
  range->set_first_expert(7);
  range->set_last_expert(7);
  EXPECT_EQ(ExpertsText(worker, 32), "0-15:0-3,16-31:7");
}

TEST(PlacementTableTest, SaysWhyAProcessDidNotAnswer) {
  ProcessPlacement silent;
  silent.address = "10.0.0.2:8490";
  silent.error = "UNAVAILABLE: nobody";
  EXPECT_THAT(PlacementTable({Process(), silent}), HasSubstr("10.0.0.2:8490: UNAVAILABLE: nobody"));
}

TEST(PlacementJsonTest, HoldsEveryFieldAndPlainStates) {
  const nlohmann::json json = nlohmann::json::parse(PlacementJson({Process()}));
  const nlohmann::json& worker = json["processes"][0]["expert_workers"][0];
  EXPECT_EQ(worker["state"], "set_aside");
  EXPECT_EQ(worker["experts"][0]["last_layer"], 31);
  EXPECT_EQ(worker["last_error"], "layer 3\nexpert 1: no answer");
  EXPECT_EQ(json["processes"][0]["min_replicas"], 0);
}

}  // namespace
}  // namespace tramontane
