#include "attention_worker/expert_directory.h"

#include <gtest/gtest.h>

#include <utility>

namespace tramontane {
namespace {

class StatedClient : public ExpertClient {
 public:
  explicit StatedClient(std::vector<ExpertWorkerDescription::Hosted> experts,
                        bool draining = false) {
    description_.experts = std::move(experts);
    description_.draining = draining;
  }
  const std::string& address() const override { return address_; }
  const ExpertWorkerDescription& description() const override { return description_; }
  void Execute(ExpertBatch /*batch*/, Done done) override {
    done(absl::UnavailableError("states experts only"));
  }

 private:
  const std::string address_ = "stated";
  ExpertWorkerDescription description_;
};

TEST(ExpertPlacementTest, NobodyHostsAnything) {
  EXPECT_EQ(BuildPlacement(2, 4, {})->MissingExperts(),
            "layer 0: experts 0-3; layer 1: experts 0-3");
}

TEST(ExpertPlacementTest, MissingExpertsAreRangesByLayer) {
  const auto client = std::make_shared<StatedClient>(
      std::vector<ExpertWorkerDescription::Hosted>{{0, 0}, {0, 1}, {0, 2}, {0, 3}, {1, 1}, {1, 3}});
  EXPECT_EQ(BuildPlacement(3, 4, {client})->MissingExperts(),
            "layer 1: experts 0, 2; layer 2: experts 0-3");
}

TEST(ExpertPlacementTest, ACompletePlacementMissesNothing) {
  const auto a =
      std::make_shared<StatedClient>(std::vector<ExpertWorkerDescription::Hosted>{{0, 0}, {0, 1}});
  const auto b =
      std::make_shared<StatedClient>(std::vector<ExpertWorkerDescription::Hosted>{{0, 1}});
  const auto placement = BuildPlacement(1, 2, {a, b});
  EXPECT_EQ(placement->MissingExperts(), "");
  EXPECT_EQ(placement->Replicas(0, 0).size(), 1u);
  EXPECT_EQ(placement->Replicas(0, 1).size(), 2u);
}

TEST(ExpertPlacementTest, DrainingClientsAreLeftOut) {
  const auto client = std::make_shared<StatedClient>(
      std::vector<ExpertWorkerDescription::Hosted>{{0, 0}}, /*draining=*/true);
  EXPECT_EQ(BuildPlacement(1, 1, {client})->MissingExperts(), "layer 0: expert 0");
}

TEST(ExpertPlacementTest, WhatIsOutOfRangeOrStatedTwiceIsIgnored) {
  const auto client = std::make_shared<StatedClient>(
      std::vector<ExpertWorkerDescription::Hosted>{{0, 0}, {0, 0}, {5, 0}, {0, -1}, {0, 9}});
  EXPECT_EQ(BuildPlacement(1, 1, {client})->Replicas(0, 0).size(), 1u);
}

}  // namespace
}  // namespace tramontane
