#include "kernels/expert_slices.h"

#include <algorithm>
#include <vector>

namespace tramontane {

void RunInSlices(const ExpertFfnArgs& args, size_t max_rows, DType dtype,
                 absl::FunctionRef<void(const ExpertFfnArgs&)> run) {
  std::vector<ExpertRows> some;
  size_t num_rows = 0;
  for (ExpertRows group : args.groups) {
    while (!group.input.empty()) {
      const size_t count = std::min(group.input.size(), max_rows - num_rows);
      some.push_back({group.expert, group.input.first(count), group.output});
      group.input = group.input.subspan(count);
      group.output += count * static_cast<size_t>(group.expert->hidden_size()) * DTypeSize(dtype);
      num_rows += count;
      if (num_rows < max_rows) continue;
      run({some});
      some.clear();
      num_rows = 0;
    }
  }
  if (num_rows > 0) run({some});
}

}  // namespace tramontane
