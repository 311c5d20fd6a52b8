// The bundled model, as tests of the coordinator see it.
#ifndef TRAMONTANE_TESTS_COORDINATOR_DEMO_MODEL_H_
#define TRAMONTANE_TESTS_COORDINATOR_DEMO_MODEL_H_

#include <memory>
#include <string>

#include "coordinator/served_model.h"
#include "model/checkpoint.h"
#include "model/tokenizer.h"

namespace tramontane {

std::string DemoModelDirectory();
std::string GoldenDirectory();

// Opened once for the process.
const std::shared_ptr<const Checkpoint>& DemoCheckpoint();
const std::shared_ptr<const Tokenizer>& DemoTokenizer();

// With the demo model's sizes, tokenizer and defaults.
ServedModel DemoServedModel();

}  // namespace tramontane

#endif  // TRAMONTANE_TESTS_COORDINATOR_DEMO_MODEL_H_
