// One completion as one JSON object in the API's own field names.
#ifndef TRAMONTANE_COORDINATOR_GENERATE_JSON_OUTPUT_H_
#define TRAMONTANE_COORDINATOR_GENERATE_JSON_OUTPUT_H_

#include <string>

#include "proto/inference.pb.h"

namespace tramontane {

// Appends a message of the stream to those before it: text and lists grow, the rest is the last's.
void MergeResponse(const v1::GenerateResponse& part, v1::GenerateResponse& all);

// `all` is a whole completion, merged. Fields that `request` did not ask for are left out; those
// that it did are there, even empty. A number that JSON cannot hold, such as the first token's
// log-probability, is null.
std::string ToJson(const v1::GenerateRequest& request, const v1::GenerateResponse& all);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GENERATE_JSON_OUTPUT_H_
