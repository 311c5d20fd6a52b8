// Fuzzes config.json and generation_config.json: both parsers read every input.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "model/check.h"
#include "model/config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto config = tramontane::ParseMixtralConfig(text, "fuzz");
  if (config.ok()) {
    TRAMONTANE_CHECK(config->num_layers > 0 && config->hidden_size > 0 && config->vocab_size > 0);
    TRAMONTANE_CHECK(config->top_k > 0 && config->top_k <= config->num_experts);
    TRAMONTANE_CHECK(config->head_dim > 0 && config->head_dim % 2 == 0);
    TRAMONTANE_CHECK(config->num_kv_heads > 0 && config->num_heads % config->num_kv_heads == 0);
    TRAMONTANE_CHECK(std::isnormal(config->rms_norm_eps) && std::isnormal(config->rope_theta));
  }
  const auto defaults = tramontane::ParseGenerationDefaults(text, "fuzz");
  if (defaults.ok()) TRAMONTANE_CHECK(defaults->top_p.value_or(1) > 0);
  return 0;
}
