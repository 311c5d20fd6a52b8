#include "tests/kernels/kernels_case.h"

namespace tramontane {

bool KernelsAreEmulated() { return false; }

}  // namespace tramontane
