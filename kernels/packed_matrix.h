// Weights in the layout that a backend's kernels read, made once at load.
#ifndef TRAMONTANE_KERNELS_PACKED_MATRIX_H_
#define TRAMONTANE_KERNELS_PACKED_MATRIX_H_

#include <cstddef>
#include <cstdint>

namespace tramontane {

// y = W x with W [out_features, in_features]. Made by Backend::Pack of the same backend.
class PackedMatrix {
 public:
  virtual ~PackedMatrix() = default;
  virtual int64_t out_features() const = 0;
  virtual int64_t in_features() const = 0;
  virtual size_t num_bytes() const = 0;  // of memory, padding included
};

// One expert: w1 and w3 [intermediate_size, hidden_size], w2 [hidden_size, intermediate_size].
class PackedExpert {
 public:
  virtual ~PackedExpert() = default;
  virtual int64_t hidden_size() const = 0;
  virtual int64_t intermediate_size() const = 0;
  virtual size_t num_bytes() const = 0;
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_PACKED_MATRIX_H_
