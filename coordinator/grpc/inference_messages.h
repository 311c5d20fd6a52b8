// The public API's messages <-> the coordinator's domain types.
#ifndef TRAMONTANE_COORDINATOR_GRPC_INFERENCE_MESSAGES_H_
#define TRAMONTANE_COORDINATOR_GRPC_INFERENCE_MESSAGES_H_

#include <vector>

#include "coordinator/generation_output.h"
#include "coordinator/generation_request.h"
#include "coordinator/served_model.h"
#include "proto/inference.pb.h"

namespace tramontane {

GenerationRequest FromMessage(const v1::GenerateRequest& message);
std::vector<ChatMessage> FromMessages(
    const google::protobuf::RepeatedPtrField<v1::ChatMessage>& messages);

// `num_choices` is num_layers * top_k: the entries of one token's routing.
v1::GenerateResponse ToMessage(const GenerationOutput& output, int num_choices);
v1::GetModelResponse ToMessage(const ServedModel& model);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_INFERENCE_MESSAGES_H_
