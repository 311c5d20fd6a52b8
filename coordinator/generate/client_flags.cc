#include "proto/serving/abseil_flag_types.h"

#include "coordinator/generate/client_flags.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/serving/host_port.h"
#include "proto/serving/text_file.h"
#include "proto/serving/tls_identity.h"

ABSL_FLAG(bool, tls, false,
          "Connect with TLS; without --tls_ca the server's certificate must be of a CA that the "
          "system knows. Any other --tls flag implies it.");
ABSL_FLAG(std::string, tls_ca, "", "PEM file of the CAs that sign the server's certificate.");
ABSL_FLAG(std::string, tls_cert, "",
          "PEM file of the certificate to show to a server that asks for one.");
ABSL_FLAG(std::string, tls_key, "", "PEM file of the private key of --tls_cert.");
ABSL_FLAG(std::string, tls_server_name, "",
          "Name that the server's certificate must have; empty: the host of --target.");

ABSL_FLAG(std::string, api_token_file, "",
          "File whose one line is the token to show; empty: none.");
ABSL_FLAG(bool, allow_plaintext_beyond_loopback, false,
          "Allow the token to be sent to another machine without TLS.");

namespace tramontane {
namespace {

absl::StatusOr<TlsClient> TlsClientFromFlags() {
  const CertificateFiles files = {.certificate = absl::GetFlag(FLAGS_tls_cert),
                                  .key = absl::GetFlag(FLAGS_tls_key),
                                  .ca = absl::GetFlag(FLAGS_tls_ca)};
  TlsClient client;
  client.server_name = absl::GetFlag(FLAGS_tls_server_name);
  const bool wanted = absl::GetFlag(FLAGS_tls) || !files.empty() || !files.key.empty() ||
                      !client.server_name.empty();
  if (!wanted) return client;
  absl::StatusOr<std::shared_ptr<TlsIdentity>> identity = TlsIdentity::Load(files, absl::Now());
  if (!identity.ok()) return identity.status();
  client.identity = *std::move(identity);
  return client;
}

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  const absl::StatusOr<std::string> text = ReadTextFile(path);
  if (!text.ok()) return text.status();
  const std::string token(absl::StripAsciiWhitespace(*text));
  const auto visible = [](char c) { return absl::ascii_isgraph(static_cast<unsigned char>(c)); };
  if (!token.empty() && std::all_of(token.begin(), token.end(), visible)) return token;
  return absl::FailedPreconditionError(
      absl::StrCat("--api_token_file=", path, ": expected one token of visible ASCII characters"));
}

}  // namespace

absl::StatusOr<ApiClient> ApiClientFromFlags(const std::string& target) {
  ApiClient client;
  absl::StatusOr<TlsClient> tls = TlsClientFromFlags();
  if (!tls.ok()) return tls.status();
  client.tls = *std::move(tls);
  const std::string path = absl::GetFlag(FLAGS_api_token_file);
  if (path.empty()) return client;
  absl::StatusOr<std::string> token = ReadToken(path);
  if (!token.ok()) return token.status();
  client.token = *std::move(token);
  if (client.tls.identity == nullptr && !absl::GetFlag(FLAGS_allow_plaintext_beyond_loopback)) {
    const absl::StatusOr<bool> stays = StaysOnThisMachine(target);
    if (!stays.ok()) return stays.status();
    if (!*stays) {
      return absl::FailedPreconditionError(absl::StrCat(
          "--api_token_file: the token would go to ", target,
          " in plaintext: expected --tls or --tls_ca, or --allow_plaintext_beyond_loopback on a "
          "network that you trust"));
    }
  }
  return client;
}

}  // namespace tramontane
