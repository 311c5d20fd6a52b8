// Typed and range-checked reading of a JSON object's keys.
#ifndef TRAMONTANE_MODEL_JSON_FIELDS_H_
#define TRAMONTANE_MODEL_JSON_FIELDS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace tramontane {

// Reads keys of one object into variables. The first error stays in `status()`; a variable whose
// key is absent, null or in error keeps its value. Not thread-safe.
class JsonFields {
 public:
  // `object` must outlive the reader. `source` names the document in errors.
  JsonFields(const nlohmann::json& object, std::string source)
      : object_(object), source_(std::move(source)) {}

  // An integer in [least, greatest]. A float, even a whole one, is not an integer.
  void RequireInt(const char* key, int64_t least, int64_t greatest, int* value);
  void ReadInt(const char* key, int64_t least, int64_t greatest, int* value);
  void ReadInt(const char* key, int64_t least, int64_t greatest, std::optional<int>* value);
  // A finite number in [least, greatest].
  void ReadNumber(const char* key, double least, double greatest, std::optional<double>* value);
  void ReadNumber(const char* key, double least, double greatest, std::optional<float>* value);
  void ReadBool(const char* key, bool* value);
  void ReadBool(const char* key, std::optional<bool>* value);
  void ReadString(const char* key, std::optional<std::string>* value);
  // One token id or a list of at most 1024; each at least 0.
  void ReadTokenIds(const char* key, std::vector<int>* value);

  // The key's value; nullptr where it is absent or null.
  const nlohmann::json* Find(const char* key) const;

  // Whether the key is there at all, null or not.
  bool Contains(const char* key) const { return object_.contains(key); }

  // Records an error about `key`, unless there is one already: what was expected, the value found,
  // and what to do about it.
  void Refuse(const char* key, const std::string& expected,
              const std::string& advice = "correct the file or download it again");

  const absl::Status& status() const { return status_; }

 private:
  std::optional<int> IntIn(const nlohmann::json& value, int64_t least, int64_t greatest) const;

  const nlohmann::json& object_;
  const std::string source_;
  absl::Status status_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_JSON_FIELDS_H_
