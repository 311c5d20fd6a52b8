#include "tests/hostile/mutation.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

namespace tramontane {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kMaxManyEntries = 300;
constexpr size_t kMaxLongText = 100'000;

template <typename T>
T OneOf(Random& random, const std::vector<T>& choices) {
  return choices[Below(random, choices.size())];
}

template <typename T>
T EdgeInteger(Random& random) {
  const T max = std::numeric_limits<T>::max(), min = std::numeric_limits<T>::min();
  return OneOf<T>(
      random, {T{0}, T{1}, T{2}, T{7}, T{16}, T{17}, T{100}, T{4095}, T{4096}, max,
               static_cast<T>(max - 1), static_cast<T>(max / 2), min, static_cast<T>(random())});
}

template <typename T>
T EdgeFloat(Random& random) {
  using Limits = std::numeric_limits<T>;
  return OneOf<T>(random, {T{0}, -T{0}, T{1}, T{-1}, T{0.5}, T{100}, T{1000}, Limits::max(),
                           Limits::lowest(), Limits::min(), Limits::denorm_min(),
                           Limits::infinity(), -Limits::infinity(), Limits::quiet_NaN()});
}

// Valid UTF-8, as a C++ client would otherwise complain itself.
std::string EdgeText(Random& random) {
  static const std::string nul(3, '\0');
  return OneOf<std::string>(
      random, {"", "a", nul, "</s>", "[INST] [/INST]", "\u202e\ufeff\U0001f98a", "user", "system",
               std::string(257, 'x'), std::string(Below(random, kMaxLongText), 'y')});
}

std::string EdgeBytes(Random& random) {
  return OneOf<std::string>(random, {"", "\xff", RandomBytes(random, Below(random, 5000)),
                                     std::string(512, '\x7f'), std::string(4096, '\0')});
}

// Sets or, of a repeated field, adds (`index` < 0) or overwrites one value.
void SetScalar(Message* message, const FieldDescriptor* field, int index, Random& random) {
  const Reflection* reflection = message->GetReflection();
  const bool repeated = field->is_repeated(), add = repeated && index < 0;
  const auto put = [&](auto set, auto set_repeated, auto append, const auto& value) {
    if (add) {
      (reflection->*append)(message, field, value);
    } else if (repeated) {
      (reflection->*set_repeated)(message, field, index, value);
    } else {
      (reflection->*set)(message, field, value);
    }
  };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return put(&Reflection::SetInt32, &Reflection::SetRepeatedInt32, &Reflection::AddInt32,
                 EdgeInteger<int32_t>(random));
    case FieldDescriptor::CPPTYPE_UINT32:
      return put(&Reflection::SetUInt32, &Reflection::SetRepeatedUInt32, &Reflection::AddUInt32,
                 EdgeInteger<uint32_t>(random));
    case FieldDescriptor::CPPTYPE_INT64:
      return put(&Reflection::SetInt64, &Reflection::SetRepeatedInt64, &Reflection::AddInt64,
                 EdgeInteger<int64_t>(random));
    case FieldDescriptor::CPPTYPE_UINT64:
      return put(&Reflection::SetUInt64, &Reflection::SetRepeatedUInt64, &Reflection::AddUInt64,
                 EdgeInteger<uint64_t>(random));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return put(&Reflection::SetFloat, &Reflection::SetRepeatedFloat, &Reflection::AddFloat,
                 EdgeFloat<float>(random));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return put(&Reflection::SetDouble, &Reflection::SetRepeatedDouble, &Reflection::AddDouble,
                 EdgeFloat<double>(random));
    case FieldDescriptor::CPPTYPE_BOOL:
      return put(&Reflection::SetBool, &Reflection::SetRepeatedBool, &Reflection::AddBool,
                 random() % 2 == 0);
    case FieldDescriptor::CPPTYPE_ENUM:
      return put(&Reflection::SetEnumValue, &Reflection::SetRepeatedEnumValue,
                 &Reflection::AddEnumValue, EdgeInteger<int32_t>(random));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string value =
          field->type() == FieldDescriptor::TYPE_BYTES ? EdgeBytes(random) : EdgeText(random);
      if (add) return reflection->AddString(message, field, value);
      if (repeated) return reflection->SetRepeatedString(message, field, index, value);
      return reflection->SetString(message, field, value);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return;
  }
}

void MutateOneField(Message* message, Random& random) {
  const google::protobuf::Descriptor* descriptor = message->GetDescriptor();
  if (descriptor->field_count() == 0) return;
  const FieldDescriptor* field =
      descriptor->field(static_cast<int>(Below(random, descriptor->field_count())));
  const Reflection* reflection = message->GetReflection();
  if (random() % 8 == 0) return reflection->ClearField(message, field);
  const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
  if (!field->is_repeated()) {
    if (is_message) return MutateOneField(reflection->MutableMessage(message, field), random);
    return SetScalar(message, field, -1, random);
  }
  const int size = reflection->FieldSize(*message, field);
  if (size > 0 && random() % 2 == 0) {
    const int index = static_cast<int>(Below(random, size));
    if (!is_message) return SetScalar(message, field, index, random);
    if (field->is_map()) return;  // entries are replaced by adding
    return MutateOneField(reflection->MutableRepeatedMessage(message, field, index), random);
  }
  const size_t added = random() % 4 == 0 ? Below(random, kMaxManyEntries) : 1;
  for (size_t i = 0; i < added; ++i) {
    if (is_message) {
      MutateOneField(reflection->AddMessage(message, field), random);
    } else {
      SetScalar(message, field, -1, random);
    }
  }
}

void MutateOnce(std::string& bytes, Random& random) {
  const size_t at = Below(random, bytes.size());
  const size_t length = 1 + Below(random, std::min<size_t>(bytes.size() - at, 64));
  switch (random() % 8) {
    case 0:
      if (!bytes.empty()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
      return;
    case 1:
      if (!bytes.empty()) bytes[at] = OneOf<char>(random, {'\0', '\xff', '\x80', '\x7f', '\x01'});
      return;
    case 2:
      bytes.resize(at);
      return;
    case 3:
      bytes.insert(at, RandomBytes(random, 1 + random() % 16));
      return;
    case 4:
      if (!bytes.empty()) bytes.erase(at, length);
      return;
    case 5:
      bytes.insert(at, bytes.substr(at, length));
      return;
    case 6:
      bytes.insert(at, std::string(9, '\xff') + '\x01');  // the longest varint
      return;
    default:
      std::rotate(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.end());
      return;
  }
}

}  // namespace

size_t Below(Random& random, size_t limit) { return limit == 0 ? 0 : random() % limit; }

std::string RandomBytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::string MutateBytes(std::string bytes, Random& random) {
  for (size_t left = 1 + random() % 4; left > 0; --left) MutateOnce(bytes, random);
  return bytes;
}

std::unique_ptr<Message> NewMessage(const google::protobuf::Descriptor& type) {
  static auto* const factory = new google::protobuf::DynamicMessageFactory;
  return std::unique_ptr<Message>(factory->GetPrototype(&type)->New());
}

void MutateMessage(Message* message, Random& random) {
  for (size_t left = 1 + random() % 3; left > 0; --left) MutateOneField(message, random);
}

}  // namespace tramontane
