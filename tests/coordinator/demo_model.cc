#include "tests/coordinator/demo_model.h"

#include <utility>

#include "model/check.h"

namespace tramontane {

std::string DemoModelDirectory() {
  return std::string(TRAMONTANE_SOURCE_DIR) + "/deploy/demo_model";
}

std::string GoldenDirectory() { return std::string(TRAMONTANE_SOURCE_DIR) + "/tests/golden"; }

const std::shared_ptr<const Checkpoint>& DemoCheckpoint() {
  static const std::shared_ptr<const Checkpoint> checkpoint = [] {
    auto opened = Checkpoint::Open(DemoModelDirectory());
    TRAMONTANE_CHECK(opened.ok());
    return *std::move(opened);
  }();
  return checkpoint;
}

const std::shared_ptr<const Tokenizer>& DemoTokenizer() {
  static const std::shared_ptr<const Tokenizer> tokenizer = [] {
    auto loaded = Tokenizer::Load(DemoModelDirectory(), DemoCheckpoint()->config().vocab_size);
    TRAMONTANE_CHECK(loaded.ok());
    return std::shared_ptr<const Tokenizer>(*std::move(loaded));
  }();
  return tokenizer;
}

ServedModel DemoServedModel() {
  ServedModel model;
  model.name = "demo_model";
  model.digest = DemoCheckpoint()->digest();
  model.compute_dtype = "f32";
  model.backend = "test";
  model.config = DemoCheckpoint()->config();
  model.eos_token_ids = DemoCheckpoint()->eos_token_ids();
  auto defaults = RequestDefaultsFrom(DemoCheckpoint()->generation_defaults());
  TRAMONTANE_CHECK(defaults.ok());
  model.defaults = *defaults;
  model.tokenizer = DemoTokenizer();
  return model;
}

}  // namespace tramontane
