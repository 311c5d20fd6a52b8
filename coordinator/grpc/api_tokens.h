// The file of --api_tokens_file: who may use the API, and how much. Its format is in
// docs/security.md.
#ifndef TRAMONTANE_COORDINATOR_GRPC_API_TOKENS_H_
#define TRAMONTANE_COORDINATOR_GRPC_API_TOKENS_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tramontane {

using Sha256Digest = std::array<uint8_t, 32>;

Sha256Digest Sha256(std::string_view bytes);

struct ApiToken {
  std::string name;                 // for people: in logs, never the token
  Sha256Digest digest = {};         // of the token
  int64_t requests_per_minute = 0;  // 0: no limit
  int64_t concurrent_requests = 0;  // 0: no limit
};

// Lines NAME sha256:HEX or NAME token:TOKEN, then limits; '#' begins a comment line. `path` is for
// messages. INVALID_ARGUMENT naming the path and the line, never what the line holds, for nonsense,
// a name or a token that comes twice, and a file without any token.
absl::StatusOr<std::vector<ApiToken>> ParseApiTokens(std::string_view text, std::string_view path);

// The index of the token whose digest this is, -1 for none. Compares with all, each in constant
// time.
int FindApiToken(const std::vector<ApiToken>& tokens, const Sha256Digest& digest);

// What an "authorization" header ("Bearer TOKEN", the scheme in any case; RFC 6750) carries; "" for
// anything else.
std::string_view BearerToken(std::string_view authorization);

}  // namespace tramontane

#endif  // TRAMONTANE_COORDINATOR_GRPC_API_TOKENS_H_
