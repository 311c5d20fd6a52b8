#include "model/safetensors.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/file.h"
#include "model/quote.h"

namespace tramontane {
namespace {

std::optional<DType> WeightDType(std::string_view name) {
  if (name == "F32") return DType::kF32;
  if (name == "BF16") return DType::kBF16;
  if (name == "F16") return DType::kF16;
  return std::nullopt;
}

uintptr_t PageSize() {
  static const uintptr_t size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return size;
}

enum class Rounding { kOutward, kInward };

// madvise over the pages of [bytes, bytes + size): those that it touches, or those wholly inside.
// The result is not looked at: advice that the kernel does not take changes no byte.
void Advise(const std::byte* bytes, size_t size, Rounding rounding, int advice) {
  const uintptr_t page = PageSize();
  uintptr_t begin = reinterpret_cast<uintptr_t>(bytes);
  uintptr_t end = begin + size;
  if (rounding == Rounding::kOutward) {
    begin -= begin % page;
    end += (page - end % page) % page;
  } else {
    begin += (page - begin % page) % page;
    end -= end % page;
  }
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, advice);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::string& path) {
  const absl::StatusOr<OpenedFile> opened = OpenFile(path);
  if (!opened.ok()) return opened.status();
  std::unique_ptr<SafetensorsFile> file(new SafetensorsFile());
  file->path_ = path;
  if (opened->size > 0) {
    void* map = mmap(nullptr, opened->size, PROT_READ, MAP_PRIVATE, opened->fd.get(), 0);
    if (map == MAP_FAILED) {
      return absl::UnavailableError(
          absl::StrCat(path, ": cannot map ", opened->size, " bytes: ", std::strerror(errno)));
    }
    file->map_ = static_cast<const std::byte*>(map);
    file->size_ = opened->size;
  }
  auto entries = ParseSafetensorsHeader({file->map_, file->size_}, file->size_, path);
  if (!entries.ok()) return entries.status();
  file->entries_ = *std::move(entries);
  return file;
}

SafetensorsFile::~SafetensorsFile() {
  if (map_ != nullptr) munmap(const_cast<std::byte*>(map_), size_);
}

absl::StatusOr<TensorView> SafetensorsFile::Tensor(std::string_view name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": no tensor ", Quote(name)));
  }
  const std::optional<DType> dtype = WeightDType(entry->second.dtype);
  if (!dtype.has_value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(path_, ": tensor ", Quote(name), ": expected dtype F32, BF16 or F16, found ",
                     entry->second.dtype, "; convert the checkpoint to one of these"));
  }
  return TensorView{std::string(name), *dtype, entry->second.shape, map_ + entry->second.begin};
}

absl::StatusOr<std::span<const std::byte>> SafetensorsFile::RawBytes(std::string_view name) const {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) {
    return absl::NotFoundError(absl::StrCat(path_, ": no tensor ", Quote(name)));
  }
  return std::span<const std::byte>(map_ + entry->second.begin,
                                    entry->second.end - entry->second.begin);
}

void SafetensorsFile::WillRead(const TensorView& tensor) const {
  Advise(tensor.bytes, tensor.num_bytes(), Rounding::kOutward, MADV_SEQUENTIAL);
  Advise(tensor.bytes, tensor.num_bytes(), Rounding::kOutward, MADV_WILLNEED);
}

void SafetensorsFile::DropPages(const TensorView& tensor) const {
  Advise(tensor.bytes, tensor.num_bytes(), Rounding::kInward, MADV_DONTNEED);
  // Ends what WillRead began, so that the kernel may join the mapping's parts again.
  Advise(tensor.bytes, tensor.num_bytes(), Rounding::kOutward, MADV_NORMAL);
}

}  // namespace tramontane
