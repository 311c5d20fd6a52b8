#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/json_document.h"
#include "model/quote.h"
#include "model/safetensors.h"

namespace tramontane {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian");

constexpr uint64_t kLengthBytes = 8;
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr char kAdvice[] =
    "; the file is damaged or was not downloaded completely: download it again";

struct DTypeBits {
  std::string_view name;
  uint64_t bits;
};
constexpr DTypeBits kDTypes[] = {
    {"BOOL", 8},    {"U8", 8},   {"I8", 8},      {"F8_E4M3", 8}, {"F8_E5M2", 8},
    {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"I16", 16},
    {"U16", 16},    {"F16", 16}, {"BF16", 16},   {"I32", 32},    {"U32", 32},
    {"F32", 32},    {"C64", 64}, {"F64", 64},    {"I64", 64},    {"U64", 64},
};

absl::Status Refuse(std::string_view source, const std::string& expected,
                    const std::string& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(source), ": expected ", expected, ", found ", found, kAdvice));
}

absl::Status RefuseTensor(std::string_view source, std::string_view name,
                          const std::string& expected, const std::string& found) {
  return absl::InvalidArgumentError(absl::StrCat(std::string(source), ": tensor ", Quote(name),
                                                 ": expected ", expected, ", found ", found,
                                                 kAdvice));
}

// The header's JSON within `first_bytes`, its length checked.
absl::StatusOr<std::string_view> HeaderText(std::span<const std::byte> first_bytes,
                                            uint64_t file_size, std::string_view source) {
  if (file_size < kLengthBytes || first_bytes.size() < kLengthBytes) {
    return Refuse(source, "a safetensors file of at least 8 bytes",
                  absl::StrCat(std::min<uint64_t>(file_size, first_bytes.size()), " bytes"));
  }
  uint64_t length;
  std::memcpy(&length, first_bytes.data(), sizeof(length));
  if (length > kMaxHeaderBytes) {
    return Refuse(source, absl::StrCat("a header of at most ", kMaxHeaderBytes, " bytes"),
                  absl::StrCat("a length of ", length));
  }
  const uint64_t available = std::min<uint64_t>(file_size, first_bytes.size()) - kLengthBytes;
  if (length > available) {
    return Refuse(source, absl::StrCat("a header of ", length, " bytes"),
                  absl::StrCat("a file that ends ", available, " bytes after its length"));
  }
  return std::string_view(reinterpret_cast<const char*>(first_bytes.data()) + kLengthBytes, length);
}

// The bits of an element; 0 for a dtype that the format does not have.
uint64_t ElementBits(std::string_view dtype) {
  for (const DTypeBits& known : kDTypes) {
    if (known.name == dtype) return known.bits;
  }
  return 0;
}

absl::Status ReadShape(const nlohmann::json& json, std::string_view source, std::string_view name,
                       SafetensorsEntry* entry, uint64_t* num_elements) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  const auto shape = json.find("shape");
  if (shape == json.end() || !shape->is_array()) {
    return RefuseTensor(source, name, "a list \"shape\"", "none");
  }
  *num_elements = 1;
  for (const nlohmann::json& size : *shape) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > kMax) {
      return RefuseTensor(source, name, "a shape of non-negative integers", Quote(shape->dump()));
    }
    if (__builtin_mul_overflow(*num_elements, size.get<uint64_t>(), num_elements) ||
        *num_elements > kMax) {
      return RefuseTensor(source, name, "a shape of less than 2^63 elements", Quote(shape->dump()));
    }
    entry->shape.push_back(size.get<int64_t>());
  }
  return absl::OkStatus();
}

// `data_begin` and `data_bytes` say where the tensors' bytes lie in the file.
absl::StatusOr<SafetensorsEntry> ReadEntry(const nlohmann::json& json, std::string_view source,
                                           std::string_view name, uint64_t data_begin,
                                           uint64_t data_bytes) {
  if (!json.is_object()) return RefuseTensor(source, name, "a JSON object", json.type_name());
  SafetensorsEntry entry;
  const auto dtype = json.find("dtype");
  if (dtype == json.end() || !dtype->is_string()) {
    return RefuseTensor(source, name, "a string \"dtype\"", "none");
  }
  entry.dtype = dtype->get<std::string>();
  const uint64_t bits = ElementBits(entry.dtype);
  if (bits == 0) {
    return RefuseTensor(source, name, "a dtype of the safetensors format", Quote(entry.dtype));
  }
  uint64_t num_elements = 0;
  const absl::Status shape = ReadShape(json, source, name, &entry, &num_elements);
  if (!shape.ok()) return shape;

  const auto offsets = json.find("data_offsets");
  if (offsets == json.end() || !offsets->is_array() || offsets->size() != 2 ||
      !(*offsets)[0].is_number_unsigned() || !(*offsets)[1].is_number_unsigned()) {
    return RefuseTensor(source, name, "\"data_offsets\" of two non-negative integers",
                        offsets == json.end() ? "none" : Quote(offsets->dump()));
  }
  const uint64_t begin = (*offsets)[0].get<uint64_t>();
  const uint64_t end = (*offsets)[1].get<uint64_t>();
  if (begin > end || end > data_bytes) {
    return RefuseTensor(source, name,
                        absl::StrCat("offsets within the file's ", data_bytes, " bytes of tensors"),
                        absl::StrCat("[", begin, ", ", end, ")"));
  }
  uint64_t total_bits = 0;
  const bool overflow = __builtin_mul_overflow(num_elements, bits, &total_bits);
  if (overflow || total_bits % 8 != 0 || total_bits / 8 != end - begin) {
    return RefuseTensor(source, name,
                        absl::StrCat("the bytes of ", entry.dtype, " ", ShapeToString(entry.shape)),
                        absl::StrCat(end - begin, " bytes at [", begin, ", ", end, ")"));
  }
  entry.begin = data_begin + begin;
  entry.end = data_begin + end;
  return entry;
}

absl::Status CheckMetadata(const nlohmann::json& metadata, std::string_view source) {
  if (metadata.is_null()) return absl::OkStatus();
  bool strings = metadata.is_object();
  for (const nlohmann::json& value : metadata) strings = strings && value.is_string();
  if (strings) return absl::OkStatus();
  return Refuse(source, "an object of strings as \"__metadata__\"", Quote(metadata.dump()));
}

// The tensors must cover the data exactly: the format allows neither overlaps nor holes.
absl::Status CheckCover(const std::map<std::string, SafetensorsEntry, std::less<>>& entries,
                        uint64_t data_begin, uint64_t file_size, std::string_view source) {
  std::vector<const std::pair<const std::string, SafetensorsEntry>*> by_offset;
  by_offset.reserve(entries.size());
  for (const auto& entry : entries) by_offset.push_back(&entry);
  std::sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  uint64_t covered = data_begin;
  const std::string* previous = nullptr;
  for (const auto* entry : by_offset) {
    const auto& [name, place] = *entry;
    if (place.begin != covered) {
      const bool overlap = place.begin < covered;
      return RefuseTensor(
          source, name,
          absl::StrCat("its first byte at ", covered - data_begin,
                       previous == nullptr ? std::string(", the start of the data")
                                           : absl::StrCat(", where ", Quote(*previous), " ends")),
          absl::StrCat(place.begin - data_begin, ", which leaves ",
                       overlap ? "an overlap" : "a hole"));
    }
    covered = place.end;
    previous = &name;
  }
  if (covered != file_size) {
    return Refuse(source, absl::StrCat("a file of ", covered, " bytes by its header"),
                  absl::StrCat(file_size, " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::map<std::string, SafetensorsEntry, std::less<>>> ParseSafetensorsHeader(
    std::span<const std::byte> first_bytes, uint64_t file_size, std::string_view source) {
  const absl::StatusOr<std::string_view> text = HeaderText(first_bytes, file_size, source);
  if (!text.ok()) return text.status();
  const absl::StatusOr<nlohmann::json> header =
      ParseJsonObject(*text, absl::StrCat(std::string(source), ": safetensors header"),
                      kMaxHeaderBytes, DuplicateKeys::kRefused);
  if (!header.ok()) return header.status();
  const uint64_t data_begin = kLengthBytes + text->size();
  std::map<std::string, SafetensorsEntry, std::less<>> entries;
  for (const auto& [name, json] : header->items()) {
    if (name == "__metadata__") {
      const absl::Status metadata = CheckMetadata(json, source);
      if (!metadata.ok()) return metadata;
      continue;
    }
    absl::StatusOr<SafetensorsEntry> entry =
        ReadEntry(json, source, name, data_begin, file_size - data_begin);
    if (!entry.ok()) return entry.status();
    entries.emplace(name, *std::move(entry));
  }
  const absl::Status cover = CheckCover(entries, data_begin, file_size, source);
  if (!cover.ok()) return cover;
  return entries;
}

}  // namespace tramontane
