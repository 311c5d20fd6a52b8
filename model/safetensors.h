// One safetensors file, mapped into memory.
// Format: https://github.com/huggingface/safetensors (u64 header length, JSON header, data).
#ifndef TRAMONTANE_MODEL_SAFETENSORS_H_
#define TRAMONTANE_MODEL_SAFETENSORS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "model/tensor_view.h"

namespace tramontane {

// Where each tensor lies; offsets are relative to the first byte of the file.
struct SafetensorsEntry {
  std::string dtype;  // as the header spells it: "F32", "BF16", "I32", …
  std::vector<int64_t> shape;
  uint64_t begin = 0;  // [begin, end) in the file, bytes
  uint64_t end = 0;
};

// The parsed header of one file. `first_bytes` holds at least the header (8 + its length bytes, or
// the whole file where that is shorter), `file_size` the file's size in bytes, `source` its name in
// errors. Refused with INVALID_ARGUMENT: a header past 100 MB or past the file, not JSON, an
// unknown dtype, a shape that does not fit its offsets, ranges out of the file, overlapping or with
// holes.
absl::StatusOr<std::map<std::string, SafetensorsEntry, std::less<>>> ParseSafetensorsHeader(
    std::span<const std::byte> first_bytes, uint64_t file_size, std::string_view source);

// A read-only mapping of one file; immutable after Open, so any thread may read it.
class SafetensorsFile {
 public:
  // NOT_FOUND where there is no such file, PERMISSION_DENIED or UNAVAILABLE where the system
  // refuses to read or map it; INVALID_ARGUMENT as ParseSafetensorsHeader. The file must not be
  // changed while it is mapped: a page that is gone ends the process (SIGBUS).
  static absl::StatusOr<std::unique_ptr<SafetensorsFile>> Open(const std::string& path);
  ~SafetensorsFile();
  SafetensorsFile(const SafetensorsFile&) = delete;
  SafetensorsFile& operator=(const SafetensorsFile&) = delete;

  const std::string& path() const { return path_; }
  const std::map<std::string, SafetensorsEntry, std::less<>>& entries() const { return entries_; }

  // The tensor's bytes in the mapping. NOT_FOUND, or INVALID_ARGUMENT for a dtype that is not a
  // weight's (only F32, BF16 and F16 are).
  absl::StatusOr<TensorView> Tensor(std::string_view name) const;
  // The raw bytes of an entry of any dtype (tests read int32 golden values). NOT_FOUND.
  absl::StatusOr<std::span<const std::byte>> RawBytes(std::string_view name) const;

  // Tells the kernel that the tensor's pages will be read once, in order (`WillRead`), or are no
  // longer needed in this process (`DropPages`). Advice only; the bytes stay readable.
  void WillRead(const TensorView& tensor) const;
  void DropPages(const TensorView& tensor) const;

 private:
  SafetensorsFile() = default;

  std::string path_;
  const std::byte* map_ = nullptr;
  size_t size_ = 0;
  std::map<std::string, SafetensorsEntry, std::less<>> entries_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_SAFETENSORS_H_
