#include "tests/kernels/kernels_case.h"

namespace tramontane {

bool KernelsAreEmulated() { return true; }

}  // namespace tramontane
