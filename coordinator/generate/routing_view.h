// Text coloured by where the router sent each token.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_ROUTING_VIEW_H_
#define TRAMONTANE_COORDINATOR_GENERATE_ROUTING_VIEW_H_

#include <string>
#include <string_view>
#include <vector>

#include "proto/inference.pb.h"

namespace tramontane {

// Turns the messages of a stream with routing into text, each token in the colour of the expert of
// largest weight in the last layer. A token's routing comes with the next one, so text comes one
// token late; the last token was not run and has no colour. Thread-compatible.
class RoutingView {
 public:
  RoutingView(int num_layers, int num_experts, int top_k, bool colors);

  // What can be printed after `message`, which has at most one new token (as the API gives it).
  std::string Add(const v1::GenerateResponse& message);
  // The rest.
  std::string Finish();
  // One line: every expert in its colour, with the tokens that it led.
  std::string Legend() const;

 private:
  std::string Painted(int expert, std::string_view text) const;

  const int num_layers_;
  const int top_k_;
  const bool colors_;
  std::vector<int> tokens_led_;  // [num_experts]
  std::string pending_;          // text whose token's routing is not there yet
};

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_ROUTING_VIEW_H_
