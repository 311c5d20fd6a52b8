#include "proto/serving/address_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace tramontane {

absl::Status WriteAddressFile(const std::string& path, const ProcessAddresses& addresses) {
  if (path.empty()) return absl::OkStatus();
  const std::string temporary = absl::StrCat(path, ".new");
  std::ofstream file(temporary, std::ios::trunc);
  file << addresses.rpc << '\n' << addresses.metrics << '\n' << addresses.health << '\n';
  file.close();
  if (file && std::rename(temporary.c_str(), path.c_str()) == 0) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("--address_file=", path,
                                             ": cannot be written: ", std::strerror(errno),
                                             "; its directory must exist and be writable"));
}

}  // namespace tramontane
