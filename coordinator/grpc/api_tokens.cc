#include "coordinator/grpc/api_tokens.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "model/check.h"

namespace tramontane {
namespace {

constexpr size_t kMinTokenBytes = 16;
constexpr size_t kMaxTokenBytes = 1024;
constexpr size_t kMaxNameBytes = 64;
constexpr int64_t kMaxLimit = 1'000'000'000;

bool IsName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ||
                  c == '.' || c == '@';
         });
}

// What a header can carry and a line of the file can hold: visible ASCII.
bool IsToken(absl::string_view token) {
  return token.size() >= kMinTokenBytes && token.size() <= kMaxTokenBytes &&
         std::all_of(token.begin(), token.end(),
                     [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); });
}

bool ParseHex(absl::string_view hex, Sha256Digest* digest) {
  if (hex.size() != 2 * digest->size()) return false;
  for (size_t i = 0; i < digest->size(); ++i) {
    const absl::string_view byte = hex.substr(2 * i, 2);
    const auto is_hex = [](char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); };
    if (!std::all_of(byte.begin(), byte.end(), is_hex)) return false;
    const auto value = [](char c) {
      return c <= '9' ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
    };
    (*digest)[i] = static_cast<uint8_t>(16 * value(byte[0]) + value(byte[1]));
  }
  return true;
}

// "" or what is wrong with the part of a line.
std::string ParseSecret(absl::string_view secret, ApiToken* token) {
  if (absl::ConsumePrefix(&secret, "sha256:")) {
    return ParseHex(secret, &token->digest) ? "" : "expected 64 hexadecimal digits after sha256:";
  }
  if (!absl::ConsumePrefix(&secret, "token:"))
    return "expected sha256:HEX or token:TOKEN after NAME";
  if (!IsToken(secret)) {
    return absl::StrCat("expected ", kMinTokenBytes, " to ", kMaxTokenBytes,
                        " visible ASCII characters after token:");
  }
  token->digest = Sha256(std::string_view(secret.data(), secret.size()));
  return "";
}

std::string ParseLimit(absl::string_view limit, ApiToken* token) {
  int64_t* value = nullptr;
  if (absl::ConsumePrefix(&limit, "requests_per_minute=")) value = &token->requests_per_minute;
  if (absl::ConsumePrefix(&limit, "concurrent_requests=")) value = &token->concurrent_requests;
  if (value == nullptr) {
    return "expected requests_per_minute=N or concurrent_requests=N after the token";
  }
  if (*value != 0) return "a limit comes twice";
  if (!absl::SimpleAtoi(limit, value) || *value < 1 || *value > kMaxLimit) {
    return absl::StrCat("expected a limit of 1 to ", kMaxLimit);
  }
  return "";
}

std::string ParseLine(absl::string_view line, ApiToken* token) {
  const std::vector<absl::string_view> parts =
      absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
  if (parts.size() < 2) return "expected NAME and sha256:HEX or token:TOKEN";
  if (!IsName(parts[0])) {
    return absl::StrCat("expected a name of at most ", kMaxNameBytes,
                        " letters, digits and -_.@ first");
  }
  token->name = std::string(parts[0]);
  std::string trouble = ParseSecret(parts[1], token);
  for (size_t i = 2; i < parts.size() && trouble.empty(); ++i) {
    trouble = ParseLimit(parts[i], token);
  }
  return trouble;
}

}  // namespace

Sha256Digest Sha256(std::string_view bytes) {
  Sha256Digest digest;
  TRAMONTANE_CHECK(
      EVP_Digest(bytes.data(), bytes.size(), digest.data(), nullptr, EVP_sha256(), nullptr) == 1);
  return digest;
}

absl::StatusOr<std::vector<ApiToken>> ParseApiTokens(std::string_view text, std::string_view path) {
  const absl::string_view name(path.data(), path.size());
  std::vector<ApiToken> tokens;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(absl::string_view(text.data(), text.size()), '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line.front() == '#') continue;
    ApiToken token;
    std::string trouble = ParseLine(line, &token);
    for (const ApiToken& other : tokens) {
      if (other.name == token.name) trouble = "the name is taken by a line before";
      if (other.digest == token.digest) trouble = "the token is that of a line before";
    }
    if (!trouble.empty()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ":", number, ": ", trouble));
    }
    tokens.push_back(std::move(token));
  }
  if (tokens.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ": expected at least one line NAME sha256:HEX or NAME token:TOKEN"));
  }
  return tokens;
}

int FindApiToken(const std::vector<ApiToken>& tokens, const Sha256Digest& digest) {
  int found = -1;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const bool same = CRYPTO_memcmp(tokens[i].digest.data(), digest.data(), digest.size()) == 0;
    if (same) found = static_cast<int>(i);
  }
  return found;
}

std::string_view BearerToken(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() <= kScheme.size() || authorization.size() > kMaxTokenBytes + 16)
    return "";
  for (size_t i = 0; i < kScheme.size(); ++i) {
    if (absl::ascii_tolower(static_cast<unsigned char>(authorization[i])) != kScheme[i]) return "";
  }
  std::string_view token = authorization.substr(kScheme.size());
  while (!token.empty() && token.front() == ' ') token.remove_prefix(1);
  return token;
}

}  // namespace tramontane
