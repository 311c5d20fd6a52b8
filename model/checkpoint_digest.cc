#include "model/checkpoint_digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/check.h"
#include "model/file.h"

namespace tramontane {
namespace {

constexpr uint64_t kProbeBytes = 64;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    TRAMONTANE_CHECK(context_ != nullptr);
    TRAMONTANE_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void Add(std::string_view bytes) {
    TRAMONTANE_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  }

  std::string Hex() {
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned int size = 0;
    TRAMONTANE_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), &size) == 1);
    return absl::BytesToHexString(
        absl::string_view(reinterpret_cast<const char*>(digest.data()), size));
  }

 private:
  struct FreeContext {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, FreeContext> context_;
};

std::string SizesText(const MixtralConfig& config) {
  return absl::StrCat(
      "tramontane checkpoint 1\n",                                                     //
      "num_layers=", config.num_layers, "\n",                                          //
      "hidden_size=", config.hidden_size, "\n",                                        //
      "intermediate_size=", config.intermediate_size, "\n",                            //
      "num_experts=", config.num_experts, "\n",                                        //
      "top_k=", config.top_k, "\n",                                                    //
      "num_heads=", config.num_heads, "\n",                                            //
      "num_kv_heads=", config.num_kv_heads, "\n",                                      //
      "head_dim=", config.head_dim, "\n",                                              //
      "vocab_size=", config.vocab_size, "\n",                                          //
      "max_position_embeddings=", config.max_position_embeddings, "\n",                //
      "sliding_window=", config.sliding_window.value_or(0), "\n",                      //
      "rms_norm_eps=", absl::Hex(std::bit_cast<uint32_t>(config.rms_norm_eps)), "\n",  //
      "rope_theta=", absl::Hex(std::bit_cast<uint64_t>(config.rope_theta)), "\n",      //
      "tie_word_embeddings=", config.tie_word_embeddings ? 1 : 0, "\n");
}

// The bytes [offset, offset + size) of the file.
absl::StatusOr<std::string> ReadAt(int fd, const std::string& path, uint64_t offset,
                                   uint64_t size) {
  std::string bytes(size, '\0');
  uint64_t done = 0;
  while (done < size) {
    const ssize_t n =
        pread(fd, bytes.data() + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      return absl::UnavailableError(absl::StrCat(
          path, ": cannot read ", size, " bytes at ", offset, ": ",
          n < 0 ? std::strerror(errno) : "the file has become shorter since it was opened"));
    }
    done += static_cast<uint64_t>(n);
  }
  return bytes;
}

absl::Status AddProbes(int fd, const std::string& path, const SafetensorsEntry& entry,
                       Sha256* sha256) {
  const uint64_t size = entry.end - entry.begin;
  const uint64_t probe = std::min(size, kProbeBytes);
  for (const uint64_t start : {uint64_t{0}, (size - probe) / 2, size - probe}) {
    const absl::StatusOr<std::string> bytes = ReadAt(fd, path, entry.begin + start, probe);
    if (!bytes.ok()) return bytes.status();
    sha256->Add(*bytes);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> ComputeCheckpointDigest(
    const MixtralConfig& config,
    const std::map<std::string, const SafetensorsFile*, std::less<>>& file_of_tensor) {
  Sha256 sha256;
  sha256.Add(SizesText(config));
  // One descriptor at a time, however many shards there are.
  const SafetensorsFile* opened_file = nullptr;
  ScopedFd fd;
  for (const auto& [name, file] : file_of_tensor) {
    const auto entry = file->entries().find(name);
    TRAMONTANE_CHECK(entry != file->entries().end());
    if (file != opened_file) {
      absl::StatusOr<OpenedFile> opened = OpenFile(file->path());
      if (!opened.ok()) return opened.status();
      fd = std::move(opened->fd);
      opened_file = file;
      // Probes are far apart: reading ahead of them would read the whole checkpoint.
      posix_fadvise(fd.get(), 0, 0, POSIX_FADV_RANDOM);
    }
    sha256.Add(absl::StrCat("tensor ", name, " ", entry->second.dtype, " ",
                            absl::StrJoin(entry->second.shape, "x"), "\n"));
    const absl::Status probes = AddProbes(fd.get(), file->path(), entry->second, &sha256);
    if (!probes.ok()) return probes;
  }
  return sha256.Hex();
}

}  // namespace tramontane
