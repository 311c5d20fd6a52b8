#include "model/json_document.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/quote.h"

namespace tramontane {
namespace {

constexpr int kMaxDepth = 64;

// The deepest nesting of `text`, brackets within strings left out. Right for every valid document;
// for others the parser has the last word.
int NestingDepth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size() && deepest <= kMaxDepth; ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return deepest;
}

// Remembers the keys of every object that is open, and the first one given twice.
class DuplicateKeyFinder {
 public:
  void operator()(nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) {
      open_objects_.emplace_back();
    } else if (event == Event::object_end && !open_objects_.empty()) {
      open_objects_.pop_back();
    } else if (event == Event::key && !open_objects_.empty()) {
      const std::string& key = parsed.get_ref<const std::string&>();
      if (!open_objects_.back().insert(key).second && !found_) {
        found_ = true;
        key_ = key;
      }
    }
  }
  bool found() const { return found_; }
  const std::string& key() const { return key_; }

 private:
  std::vector<std::set<std::string>> open_objects_;
  bool found_ = false;
  std::string key_;
};

absl::Status Refuse(std::string_view source, const std::string& expected,
                    const std::string& found) {
  return absl::InvalidArgumentError(
      absl::StrCat(std::string(source), ": expected ", expected, ", found ", found,
                   "; the file is damaged or not a checkpoint's: download or write it again"));
}

}  // namespace

absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view source,
                                               size_t max_bytes, DuplicateKeys duplicate_keys) {
  if (text.size() > max_bytes) {
    return Refuse(source, absl::StrCat("at most ", max_bytes, " bytes of JSON"),
                  absl::StrCat(text.size(), " bytes"));
  }
  if (NestingDepth(text) > kMaxDepth) {
    return Refuse(source, absl::StrCat("JSON of at most ", kMaxDepth, " levels"), "deeper nesting");
  }
  DuplicateKeyFinder duplicates;
  nlohmann::json document;
  try {
    if (duplicate_keys == DuplicateKeys::kRefused) {
      document = nlohmann::json::parse(
          text.begin(), text.end(),
          [&duplicates](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
            duplicates(event, parsed);
            return true;
          });
    } else {
      document = nlohmann::json::parse(text.begin(), text.end());
    }
  } catch (const nlohmann::json::exception& error) {
    return Refuse(source, "JSON", absl::StrCat("a syntax error: ", Quote(error.what())));
  }
  if (duplicates.found()) {
    return Refuse(source, "each key once in an object",
                  absl::StrCat(Quote(duplicates.key()), " twice"));
  }
  if (!document.is_object()) {
    return Refuse(source, "a JSON object", absl::StrCat("a JSON ", document.type_name()));
  }
  return document;
}

}  // namespace tramontane
