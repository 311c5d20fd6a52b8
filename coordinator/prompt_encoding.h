// Prompts as token ids.
#ifndef TRAMONTANE_COORDINATOR_PROMPT_ENCODING_H_
#define TRAMONTANE_COORDINATOR_PROMPT_ENCODING_H_

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/served_model.h"
#include "model/chat_template.h"

namespace tramontane {

// The largest request that may make sense: the longest text that is looked at, and what stands
// beside it; 4 MiB at least.
int MaxApiMessageBytes(const ServedModel& model);

// FAILED_PRECONDITION, saying what `field` needs it for, where the model has no tokenizer.
absl::Status CheckHasTokenizer(const ServedModel& model, std::string_view field);

// INVALID_ARGUMENT naming `field`, the id and the vocabulary's size for an id that is not in it.
absl::Status CheckTokenId(const ServedModel& model, std::string_view field, uint32_t token_id);
absl::StatusOr<std::vector<int32_t>> CheckTokenIds(const ServedModel& model, std::string_view field,
                                                   std::span<const uint32_t> token_ids);

// `field` names the text in errors. INVALID_ARGUMENT for text that is not UTF-8 or is longer than
// the context can hold whatever the tokens; FAILED_PRECONDITION without a tokenizer.
absl::StatusOr<std::vector<int32_t>> EncodeText(const ServedModel& model, std::string_view field,
                                                std::string_view text, bool with_bos);

// As EncodeChat of the model, and as EncodeText for the contents.
absl::StatusOr<std::vector<int32_t>> EncodeMessages(const ServedModel& model,
                                                    std::span<const ChatMessage> messages);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_PROMPT_ENCODING_H_
