#include "proto/serving/peer_names.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"

namespace tramontane {
namespace {

// A status message travels in an HTTP header, of which peers accept 8 KiB.
constexpr size_t kMaxNamesToTell = 8;
constexpr size_t kMaxNameBytes = 255;

bool IsUri(absl::string_view name) { return absl::StrContains(name, "://"); }

bool IsDnsName(absl::string_view name) {
  absl::ConsumePrefix(&name, "*.");
  const bool ends_well =
      !name.empty() && name.front() != '.' && name.back() != '.' && !absl::StrContains(name, "..");
  return ends_well && std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' ||
                  c == '_';
         });
}

bool Matches(absl::string_view pattern, absl::string_view name) {
  if (IsUri(pattern)) return pattern == name;
  if (!absl::StartsWith(pattern, "*.")) return absl::EqualsIgnoreCase(pattern, name);
  const size_t dot = name.find('.');
  return dot != absl::string_view::npos && dot > 0 &&
         absl::EqualsIgnoreCase(pattern.substr(1), name.substr(dot));
}

std::string Shown(const std::vector<std::string>& names) {
  if (names.empty()) return "no name";
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(names.size(), kMaxNamesToTell); ++i) {
    shown.push_back(names[i].substr(0, kMaxNameBytes));
  }
  if (names.size() > kMaxNamesToTell) shown.push_back("…");
  return absl::StrJoin(shown, ", ");
}

}  // namespace

absl::StatusOr<PeerNames> PeerNames::Parse(const std::vector<std::string>& names,
                                           const std::string& flag) {
  PeerNames result;
  for (const std::string& part : names) {
    const std::string name(absl::StripAsciiWhitespace(part));
    if (name.size() > kMaxNameBytes || !(IsUri(name) || IsDnsName(name))) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--", flag, ": \"", name,
          "\" is not a name of a certificate; expected DNS names such as coordinator.tramontane or "
          "*.attention.tramontane, or URIs such as spiffe://cluster/attention"));
    }
    result.names_.push_back(name);
  }
  return result;
}

bool PeerNames::Allow(const std::vector<std::string>& certificate_names) const {
  if (names_.empty()) return true;
  for (const std::string& name : certificate_names) {
    for (const std::string& pattern : names_) {
      if (Matches(pattern, name)) return true;
    }
  }
  return false;
}

absl::Status PeerNames::Check(const std::vector<std::string>& certificate_names) const {
  if (Allow(certificate_names)) return absl::OkStatus();
  return absl::PermissionDeniedError(
      absl::StrCat("the peer's certificate names ", Shown(certificate_names),
                   "; expected one of --allowed_peers: ", Shown(names_)));
}

}  // namespace tramontane
