#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>

#include "model/safetensors.h"
#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;
using testing::SafetensorsBytes;

auto Parse(const std::string& file) {
  return ParseSafetensorsHeader({reinterpret_cast<const std::byte*>(file.data()), file.size()},
                                file.size(), "dir/model.safetensors");
}

TEST(SafetensorsHeaderTest, GivesDTypeShapeAndOffsetsInTheFile) {
  const std::string file = SafetensorsBytes(
      {{"a", "BF16", {2, 3}, std::string(12, 'a')}, {"b", "I32", {}, std::string(4, 'b')}});
  const auto entries = Parse(file);
  ASSERT_TRUE(entries.ok()) << entries.status();
  ASSERT_EQ(entries->size(), 2u);
  const SafetensorsEntry& a = entries->at("a");
  EXPECT_EQ(a.dtype, "BF16");
  EXPECT_EQ(a.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(file.substr(a.begin, a.end - a.begin), std::string(12, 'a'));
  const SafetensorsEntry& b = entries->at("b");
  EXPECT_EQ(file.substr(b.begin, b.end - b.begin), std::string(4, 'b'));
}

TEST(SafetensorsHeaderTest, TheHeaderMayBePaddedWithSpaces) {
  const auto entries = Parse(SafetensorsBytes(
      R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}       )", "x"));
  EXPECT_TRUE(entries.ok()) << entries.status();
}

TEST(SafetensorsHeaderTest, EmptyTensorsTakeNoBytes) {
  const auto entries = Parse(SafetensorsBytes(
      R"({"e": {"dtype": "F32", "shape": [3, 0], "data_offsets": [4, 4]},
          "f": {"dtype": "F32", "shape": [], "data_offsets": [0, 4]}, "__metadata__": null})",
      "1234"));
  EXPECT_TRUE(entries.ok()) << entries.status();
}

TEST(SafetensorsHeaderTest, FourBitElementsArePacked) {
  EXPECT_TRUE(Parse(SafetensorsBytes(
                        R"({"q": {"dtype": "F4", "shape": [6], "data_offsets": [0, 3]}})", "123"))
                  .ok());
}

struct BrokenHeader {
  const char* name;
  std::string file;
  const char* expected;  // in the message
};

void PrintTo(const BrokenHeader& broken, std::ostream* out) { *out << broken.name; }

std::string WithLength(uint64_t length, std::string_view rest) {
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(rest);
}

std::string OneTensor(const std::string& entry, size_t data_bytes = 8) {
  return SafetensorsBytes("{\"w\": " + entry + "}", std::string(data_bytes, 'x'));
}

class BrokenHeaderTest : public ::testing::TestWithParam<BrokenHeader> {};

TEST_P(BrokenHeaderTest, IsRefusedNamingTheFileAndWhatIsWrong) {
  const auto entries = Parse(GetParam().file);
  ASSERT_EQ(entries.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(entries.status().message());
  EXPECT_THAT(message, ::testing::StartsWith("dir/model.safetensors: "));
  EXPECT_THAT(message, HasSubstr(GetParam().expected));
  EXPECT_THAT(message, HasSubstr("expected "));
  EXPECT_THAT(message, HasSubstr(", found "));
  EXPECT_THAT(message, HasSubstr("download"));
}

INSTANTIATE_TEST_SUITE_P(
    Files, BrokenHeaderTest,
    ::testing::Values(
        BrokenHeader{"Empty", "", "found 0 bytes"},
        BrokenHeader{"NoLength", "1234567", "found 7 bytes"},
        BrokenHeader{"LengthPastLimit", WithLength(100'000'001, "{}"), "at most 100000000 bytes"},
        BrokenHeader{"LengthOfAllOnes", WithLength(~uint64_t{0}, "{}"), "18446744073709551615"},
        BrokenHeader{"LengthPastFile", WithLength(100, "{}"), "ends 2 bytes after"},
        BrokenHeader{"LengthZero", WithLength(0, ""), "a syntax error"},
        BrokenHeader{"NotJson", SafetensorsBytes("not json", ""), "a syntax error"},
        BrokenHeader{"NotAnObject", SafetensorsBytes("[1]", ""), "a JSON array"},
        BrokenHeader{"BinaryJunk", SafetensorsBytes("\xff\xfe{}", ""), "a syntax error"},
        BrokenHeader{"DeepNesting", SafetensorsBytes(std::string(100000, '['), ""),
                     "deeper nesting"},
        BrokenHeader{"TensorTwice",
                     SafetensorsBytes(R"({"w": {"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                                          "w": {"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                                      "x"),
                     "\"w\" twice"},
        BrokenHeader{"TensorNotAnObject", OneTensor("7"), "tensor \"w\": expected a JSON object"},
        BrokenHeader{"NoDType", OneTensor(R"({"shape":[2],"data_offsets":[0,8]})"), "\"dtype\""},
        BrokenHeader{"UnknownDType",
                     OneTensor(R"({"dtype":"F31","shape":[2],"data_offsets":[0,8]})"), "\"F31\""},
        BrokenHeader{"NoShape", OneTensor(R"({"dtype":"F32","data_offsets":[0,8]})"), "\"shape\""},
        BrokenHeader{"NegativeShape",
                     OneTensor(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), "[-2]"},
        BrokenHeader{"FloatShape",
                     OneTensor(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), "[2.0]"},
        BrokenHeader{
            "ShapeOverflow",
            OneTensor(R"({"dtype":"F32","shape":[4294967296,4294967298],"data_offsets":[0,8]})"),
            "less than 2^63 elements"},
        BrokenHeader{
            "BytesOverflow",
            OneTensor(R"({"dtype":"F32","shape":[4611686018427387906],"data_offsets":[0,8]})"),
            "the bytes of F32 [4611686018427387906]"},
        BrokenHeader{"OverflowThenZero",
                     OneTensor(R"({"dtype":"F32","shape":[9223372036854775807,4,0],)"
                               R"("data_offsets":[0,0]})",
                               0),
                     "less than 2^63 elements"},
        BrokenHeader{"ShapeAgainstOffsets",
                     OneTensor(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"),
                     "the bytes of F32 [3], found 8 bytes"},
        BrokenHeader{"HalfAByte", OneTensor(R"({"dtype":"F4","shape":[15],"data_offsets":[0,8]})"),
                     "the bytes of F4 [15]"},
        BrokenHeader{"NoOffsets", OneTensor(R"({"dtype":"F32","shape":[2]})"), "\"data_offsets\""},
        BrokenHeader{"OneOffset", OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8]})"),
                     "two non-negative integers"},
        BrokenHeader{"NegativeOffset",
                     OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})"),
                     "two non-negative integers"},
        BrokenHeader{"BackwardOffsets",
                     OneTensor(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), "[8, 0)"},
        BrokenHeader{"OffsetsPastFile",
                     OneTensor(R"({"dtype":"F32","shape":[4],"data_offsets":[0,16]})"),
                     "within the file's 8 bytes of tensors, found [0, 16)"},
        BrokenHeader{
            "HugeOffsets",
            OneTensor(
                R"({"dtype":"F32","shape":[2],"data_offsets":[18446744073709551607,18446744073709551615]})"),
            "within the file's"},
        BrokenHeader{"Overlap",
                     SafetensorsBytes(R"({"a": {"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                                          "b": {"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
                                      "123456"),
                     "an overlap"},
        BrokenHeader{"SameBytesTwice",
                     SafetensorsBytes(R"({"a": {"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                                          "b": {"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                                      "1234"),
                     "tensor \"b\": expected its first byte at 4, where \"a\" ends"},
        BrokenHeader{"Hole",
                     SafetensorsBytes(R"({"a": {"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                                          "b": {"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
                                      "123456"),
                     "a hole"},
        BrokenHeader{"HoleAtTheStart",
                     OneTensor(R"({"dtype":"U8","shape":[7],"data_offsets":[1,8]})"),
                     "the start of the data"},
        BrokenHeader{"BytesAfterTheLast",
                     OneTensor(R"({"dtype":"U8","shape":[7],"data_offsets":[0,7]})"),
                     "by its header, found"},
        BrokenHeader{"MetadataNotStrings", SafetensorsBytes(R"({"__metadata__": {"a": 1}})", ""),
                     "object of strings"}),
    [](const auto& case_info) { return std::string(case_info.param.name); });

TEST(SafetensorsHeaderTest, EveryTruncationOfAFileIsRefused) {
  const std::string file = SafetensorsBytes({{"a", "F32", {2}, std::string(8, 'a')}});
  for (size_t size = 0; size < file.size(); ++size) {
    EXPECT_FALSE(Parse(file.substr(0, size)).ok()) << size;
  }
}

TEST(SafetensorsHeaderTest, LongNamesAreCutInMessages) {
  const auto entries = Parse(SafetensorsBytes("{\"" + std::string(100000, 'n') + "\": 7}", ""));
  ASSERT_FALSE(entries.ok());
  EXPECT_LT(entries.status().message().size(), 1000u);
}

}  // namespace
}  // namespace tramontane
