#include "model/json_fields.h"

#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "model/quote.h"

namespace tramontane {
namespace {

constexpr size_t kMaxTokenIds = 1024;

}  // namespace

const nlohmann::json* JsonFields::Find(const char* key) const {
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void JsonFields::Refuse(const char* key, const std::string& expected, const std::string& advice) {
  if (!status_.ok()) return;
  const nlohmann::json* value = Find(key);
  const std::string found =
      value != nullptr ? Quote(value->dump()) : (Contains(key) ? "null" : "no such key");
  status_ = absl::InvalidArgumentError(absl::StrCat(source_, ": \"", key, "\": expected ", expected,
                                                    ", found ", found, "; ", advice));
}

std::optional<int> JsonFields::IntIn(const nlohmann::json& value, int64_t least,
                                     int64_t greatest) const {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() &&
      value.get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int>::max())) {
    return std::nullopt;
  }
  const int64_t number = value.get<int64_t>();
  if (number < least || number > greatest) return std::nullopt;
  return static_cast<int>(number);
}

void JsonFields::ReadInt(const char* key, int64_t least, int64_t greatest,
                         std::optional<int>* value) {
  const nlohmann::json* found = Find(key);
  if (found == nullptr) return;
  const std::optional<int> number = IntIn(*found, least, greatest);
  if (number.has_value()) {
    *value = number;
  } else {
    Refuse(key, absl::StrCat("an integer in [", least, ", ", greatest, "]"));
  }
}

void JsonFields::ReadInt(const char* key, int64_t least, int64_t greatest, int* value) {
  std::optional<int> number;
  ReadInt(key, least, greatest, &number);
  if (number.has_value()) *value = *number;
}

void JsonFields::RequireInt(const char* key, int64_t least, int64_t greatest, int* value) {
  if (Find(key) == nullptr) {
    Refuse(key, absl::StrCat("an integer in [", least, ", ", greatest, "]"));
  }
  ReadInt(key, least, greatest, value);
}

void JsonFields::ReadNumber(const char* key, double least, double greatest,
                            std::optional<double>* value) {
  const nlohmann::json* found = Find(key);
  if (found == nullptr) return;
  if (found->is_number()) {
    const double number = found->get<double>();
    if (std::isfinite(number) && number >= least && number <= greatest) {
      *value = number;
      return;
    }
  }
  Refuse(key, absl::StrCat("a number in [", least, ", ", greatest, "]"));
}

void JsonFields::ReadNumber(const char* key, double least, double greatest,
                            std::optional<float>* value) {
  std::optional<double> number;
  ReadNumber(key, least, greatest, &number);
  if (number.has_value()) *value = static_cast<float>(*number);
}

void JsonFields::ReadBool(const char* key, std::optional<bool>* value) {
  const nlohmann::json* found = Find(key);
  if (found == nullptr) return;
  if (found->is_boolean()) {
    *value = found->get<bool>();
  } else {
    Refuse(key, "true or false");
  }
}

void JsonFields::ReadBool(const char* key, bool* value) {
  std::optional<bool> flag;
  ReadBool(key, &flag);
  if (flag.has_value()) *value = *flag;
}

void JsonFields::ReadString(const char* key, std::optional<std::string>* value) {
  const nlohmann::json* found = Find(key);
  if (found == nullptr) return;
  if (found->is_string()) {
    *value = found->get<std::string>();
  } else {
    Refuse(key, "a string");
  }
}

void JsonFields::ReadTokenIds(const char* key, std::vector<int>* value) {
  const nlohmann::json* found = Find(key);
  if (found == nullptr) return;
  const int64_t greatest = std::numeric_limits<int>::max();
  std::vector<int> ids;
  if (!found->is_array()) {
    const std::optional<int> id = IntIn(*found, 0, greatest);
    if (id.has_value()) {
      *value = {*id};
    } else {
      Refuse(key, "a token id or a list of token ids");
    }
    return;
  }
  for (const nlohmann::json& element : *found) {
    const std::optional<int> id = IntIn(element, 0, greatest);
    if (!id.has_value() || ids.size() == kMaxTokenIds) {
      Refuse(key, absl::StrCat("a list of at most ", kMaxTokenIds, " token ids"));
      return;
    }
    ids.push_back(*id);
  }
  *value = std::move(ids);
}

}  // namespace tramontane
