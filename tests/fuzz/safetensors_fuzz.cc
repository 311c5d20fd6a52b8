// Fuzzes the safetensors header: the first 8 bytes of the input are the file's size, the rest its
// first bytes.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "model/check.h"
#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  uint64_t file_size = 0;
  if (size < sizeof(file_size)) return 0;
  std::memcpy(&file_size, bytes, sizeof(file_size));
  const std::span<const std::byte> first_bytes(
      reinterpret_cast<const std::byte*>(bytes) + sizeof(file_size), size - sizeof(file_size));
  const auto entries = tramontane::ParseSafetensorsHeader(first_bytes, file_size, "fuzz");
  if (!entries.ok()) return 0;
  for (const auto& [name, entry] : *entries) {
    TRAMONTANE_CHECK(entry.begin <= entry.end && entry.end <= file_size);
    int64_t num_elements = 1;
    for (int64_t dimension : entry.shape) num_elements *= dimension;
    TRAMONTANE_CHECK(num_elements >= 0);
  }
  return 0;
}
