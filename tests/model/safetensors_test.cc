#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "tests/model/checkpoint_files.h"

namespace tramontane {
namespace {

using ::testing::HasSubstr;
using testing::SafetensorsBytes;
using testing::TempDirectory;

std::unique_ptr<SafetensorsFile> OpenOrDie(const std::string& path) {
  auto file = SafetensorsFile::Open(path);
  EXPECT_TRUE(file.ok()) << file.status();
  return file.ok() ? *std::move(file) : nullptr;
}

// Bytes of the file that this process has mapped and touched, by the kernel's account.
size_t ResidentBytes(const std::string& path) {
  std::ifstream smaps("/proc/self/smaps");
  std::string line;
  bool in_mapping = false;
  size_t kilobytes = 0;
  while (std::getline(smaps, line)) {
    const bool starts_mapping = line.find('-') < line.find(' ') && line.find(':') > line.find(' ');
    if (starts_mapping) in_mapping = line.find(path) != std::string::npos;
    if (in_mapping && line.rfind("Rss:", 0) == 0) {
      std::istringstream(line.substr(4)) >> kilobytes;
      return kilobytes * 1024;
    }
  }
  return 0;
}

TEST(SafetensorsFileTest, MapsTensorsOfMixedDTypes) {
  const TempDirectory directory;
  const float f32[2] = {1.5f, -3.0f};
  const uint16_t bf16[2] = {0x3fc0, 0xc040};
  directory.Write("model.safetensors",
                  SafetensorsBytes({{"f", "F32", {1, 2}, {reinterpret_cast<const char*>(f32), 8}},
                                    {"b", "BF16", {2}, {reinterpret_cast<const char*>(bf16), 4}}}));
  const auto file = OpenOrDie(directory.File("model.safetensors"));
  ASSERT_NE(file, nullptr);
  for (const char* name : {"f", "b"}) {
    const auto tensor = file->Tensor(name);
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_EQ(tensor->name, name);
    EXPECT_EQ(tensor->num_elements(), 2);
    EXPECT_EQ(ElementAsFloat(*tensor, 0), 1.5f);
    EXPECT_EQ(ElementAsFloat(*tensor, 1), -3.0f);
  }
}

TEST(SafetensorsFileTest, OnlyFloatingPointIsAWeightButAllBytesCanBeRead) {
  const TempDirectory directory;
  directory.Write("golden.safetensors", SafetensorsBytes({{"ids", "I32", {1}, "abcd"}}));
  const auto file = OpenOrDie(directory.File("golden.safetensors"));
  ASSERT_NE(file, nullptr);
  const auto tensor = file->Tensor("ids");
  EXPECT_EQ(tensor.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(tensor.status().message()),
              HasSubstr("tensor \"ids\": expected dtype F32, BF16 or F16, found I32"));
  const auto bytes = file->RawBytes("ids");
  ASSERT_TRUE(bytes.ok()) << bytes.status();
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size()), "abcd");
}

TEST(SafetensorsFileTest, AnUnknownNameIsNotFound) {
  const TempDirectory directory;
  directory.Write("m.safetensors", SafetensorsBytes("{}", ""));
  const auto file = OpenOrDie(directory.File("m.safetensors"));
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(file->Tensor("x").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(file->RawBytes("x").status().code(), absl::StatusCode::kNotFound);
}

TEST(SafetensorsFileTest, AMissingFileIsNotFound) {
  const TempDirectory directory;
  const auto file = SafetensorsFile::Open(directory.File("model.safetensors"));
  EXPECT_EQ(file.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(file.status().message()), HasSubstr(directory.File("model.safetensors")));
}

TEST(SafetensorsFileTest, ADirectoryAndAPipeAreNotFiles) {
  const TempDirectory directory;
  EXPECT_EQ(SafetensorsFile::Open(directory.path()).status().code(),
            absl::StatusCode::kInvalidArgument);
  ASSERT_EQ(mkfifo(directory.File("pipe").c_str(), 0600), 0);
  EXPECT_EQ(SafetensorsFile::Open(directory.File("pipe")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SafetensorsFileTest, AnEmptyFileIsRefused) {
  const TempDirectory directory;
  directory.Write("model.safetensors", "");
  EXPECT_EQ(SafetensorsFile::Open(directory.File("model.safetensors")).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(SafetensorsFileTest, DroppedPagesLeaveTheProcessAndCanBeReadAgain) {
  const TempDirectory directory;
  const std::string path = directory.File("model.safetensors");
  const std::string bytes(4 << 20, '?');  // '?' four times is the float 0.747…
  directory.Write("model.safetensors", SafetensorsBytes({{"w", "F32", {1 << 10, 1 << 10}, bytes}}));
  const auto file = OpenOrDie(path);
  ASSERT_NE(file, nullptr);
  const TensorView tensor = *file->Tensor("w");
  const auto read_all = [&] { return std::memcmp(tensor.bytes, bytes.data(), bytes.size()) == 0; };
  file->WillRead(tensor);
  EXPECT_TRUE(read_all());
  EXPECT_GE(ResidentBytes(path), bytes.size());
  file->DropPages(tensor);
  // What is left: pages shared with the header or the end of the file.
  EXPECT_LE(ResidentBytes(path), size_t{64} << 10);
  EXPECT_TRUE(read_all());
}

}  // namespace
}  // namespace tramontane
