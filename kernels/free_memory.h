// Whether a device has room for what is to be loaded, before minutes of loading.
#ifndef TRAMONTANE_KERNELS_FREE_MEMORY_H_
#define TRAMONTANE_KERNELS_FREE_MEMORY_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "kernels/backend.h"

namespace tramontane {

// RESOURCE_EXHAUSTED where `backend` knows that it has fewer than `needed` bytes free, saying what
// they are for, both figures, and `advice`. OK where it does not know, as on the CPU.
absl::Status CheckFreeBytes(Backend& backend, int64_t needed, std::string_view what,
                            std::string_view advice);

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_FREE_MEMORY_H_
