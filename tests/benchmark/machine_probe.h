// What this machine can do at most, measured: the ceilings that figures are held against.
#ifndef TRAMONTANE_TESTS_BENCHMARK_MACHINE_PROBE_H_
#define TRAMONTANE_TESTS_BENCHMARK_MACHINE_PROBE_H_

namespace tramontane {

// Bytes a second that `num_threads` threads read together from a buffer far larger than the caches
// (2 GiB), the best of a few passes over about a second.
double MeasureReadBandwidth(int num_threads);

// bf16 multiply-adds, counted as two operations, a second that `num_threads` threads reach together
// in registers with the machine's dot-product instruction; with float32 FMA where it has none.
double MeasureBf16Peak(int num_threads);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_BENCHMARK_MACHINE_PROBE_H_
