// The next multiple of a size.
#ifndef TRAMONTANE_KERNELS_ROUND_UP_H_
#define TRAMONTANE_KERNELS_ROUND_UP_H_

#include <type_traits>

namespace tramontane {

// The least multiple of `multiple` that is no less than `value`, of integers of 0 or more.
template <typename T>
constexpr T RoundUp(T value, std::type_identity_t<T> multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_ROUND_UP_H_
