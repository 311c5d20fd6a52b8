// A backend for tests whose operations take memory of the host, whatever backend is behind it.
#ifndef TRAMONTANE_TESTS_KERNELS_HOST_MEMORY_BACKEND_H_
#define TRAMONTANE_TESTS_KERNELS_HOST_MEMORY_BACKEND_H_

#include <memory>

#include "kernels/backend.h"

namespace tramontane {

// Each operation copies what it reads and writes to memory of `inner`, in turn of its own
// (Backend::Allocate) and shared with the host, runs, finishes, and copies all of it back, also
// what is only read: so a test sees where something was written that should not be. Errors of the
// device end the process.
std::unique_ptr<Backend> WithHostMemory(std::unique_ptr<Backend> inner);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_KERNELS_HOST_MEMORY_BACKEND_H_
