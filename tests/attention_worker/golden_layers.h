// The inside of the layers, in float32, against Hugging Face Transformers'.
#ifndef TRAMONTANE_TESTS_ATTENTION_WORKER_GOLDEN_LAYERS_H_
#define TRAMONTANE_TESTS_ATTENTION_WORKER_GOLDEN_LAYERS_H_

#include "tests/attention_worker/model_under_test.h"
#include "tests/golden/golden_values.h"

namespace tramontane {

// Relative to the greatest element of the row. Both sides round each of a few thousand float32
// operations, in different orders; 1e-4 is the bar of the project, some 800 x the unit roundoff.
inline constexpr double kGoldenF32Tolerance = 1e-4;

// Runs the case's prompt in one step and expects what every layer shows to be within the tolerance.
void ExpectGoldenLayers(const ModelUnderTest& model, const GoldenCase& golden);
// The same of the router's choices, which are equal.
void ExpectGoldenRouting(const ModelUnderTest& model, const GoldenCase& golden);

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_ATTENTION_WORKER_GOLDEN_LAYERS_H_
