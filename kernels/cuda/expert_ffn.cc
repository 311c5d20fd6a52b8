#include "kernels/expert_ffn.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/move_rows.h"
#include "kernels/cuda/operations.h"
#include "kernels/cuda/packed_weights.h"
#include "kernels/cuda/products.h"
#include "kernels/expert_slices.h"
#include "kernels/round_up.h"

namespace tramontane::cuda {
namespace {

const DeviceExpert& Expert(const ExpertRows& group) {
  return static_cast<const DeviceExpert&>(*group.expert);
}

int64_t NumRows(const ExpertRows& group) { return static_cast<int64_t>(group.input.size()); }

// Rows of all groups one after the other, in memory between two kernels: at most
// `context.max_rows`, each group's `row_bytes` long. Groups begin at units of 16 bytes.
struct GroupedRows {
  template <typename RowBytes>
  GroupedRows(Context& context, Scratch& scratch, const ExpertFfnArgs& args,
              const RowBytes& row_bytes) {
    int64_t num_bytes = 0, longest = 0;
    for (const ExpertRows& group : args.groups) {
      first_byte.push_back(num_bytes);
      num_bytes += RoundUp(NumRows(group) * row_bytes(group), 16);
      longest = std::max(longest, RoundUp(row_bytes(group), 16));
    }
    bytes = scratch.Reserve(context, context.max_rows * longest);
  }

  std::byte* group(size_t g) const { return bytes + first_byte[g]; }

  std::vector<int64_t> first_byte;  // [groups]
  std::byte* bytes = nullptr;
};

// Every row to its place in `rows`, padded.
void GatherRows(Context& context, const ExpertFfnArgs& args, int64_t element_bytes,
                const GroupedRows& rows) {
  int64_t num_rows = 0;
  for (const ExpertRows& group : args.groups) num_rows += NumRows(group);
  std::vector<RowMove> moves;
  moves.reserve(static_cast<size_t>(num_rows));
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const DeviceMatrix& w13 = Expert(args.groups[g]).w13();
    const int64_t row_bytes = w13.in_features() * element_bytes;
    const int64_t padded_bytes = w13.padded_in_features() * element_bytes;
    std::byte* to = rows.group(g);
    for (const std::byte* input : args.groups[g].input) {
      moves.push_back({ReadableRow(context, input, row_bytes), to, row_bytes, padded_bytes});
      to += padded_bytes;
    }
  }
  MoveRows(context, moves);
}

// Answers to where they are wanted, which may be the host's memory.
void StoreAnswers(Context& context, const ExpertFfnArgs& args, int64_t element_bytes,
                  const GroupedRows& answers) {
  std::vector<RowMove> moves;
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const int64_t num_bytes =
        NumRows(args.groups[g]) * Expert(args.groups[g]).hidden_size() * element_bytes;
    AddMoves(answers.group(g), args.groups[g].output, num_bytes, moves);
  }
  MoveRows(context, moves);
}

// At most `context.max_rows` rows, at least one in each group.
void RunRows(Context& context, const ExpertFfnArgs& args) {
  const auto element_bytes = static_cast<int64_t>(DTypeSize(context.compute_dtype));
  const GroupedRows rows(context, context.rows, args, [&](const ExpertRows& group) {
    return Expert(group).w13().padded_in_features() * element_bytes;
  });
  const GroupedRows activated(context, context.activated, args, [&](const ExpertRows& group) {
    return Expert(group).w2().padded_in_features() * element_bytes;
  });
  const GroupedRows answers(context, context.answers, args, [&](const ExpertRows& group) {
    return Expert(group).hidden_size() * element_bytes;
  });
  if (context.failed()) return;
  GatherRows(context, args, element_bytes, rows);
  std::vector<Product> products;
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const DeviceExpert& expert = Expert(args.groups[g]);
    products.push_back(expert.w13().MakeProduct(rows.group(g), NumRows(args.groups[g]),
                                                activated.group(g),
                                                expert.w2().padded_in_features()));
  }
  RunProducts(context, products, Epilogue::kSwiGlu);
  for (size_t g = 0; g < args.groups.size(); ++g) {
    const DeviceExpert& expert = Expert(args.groups[g]);
    products[g] = expert.w2().MakeProduct(activated.group(g), NumRows(args.groups[g]),
                                          answers.group(g), expert.hidden_size());
  }
  RunProducts(context, products, Epilogue::kStore);
  StoreAnswers(context, args, element_bytes, answers);
}

}  // namespace

void ExpertFfn(Context& context, const ExpertFfnArgs& args) {
  RunInSlices(args, static_cast<size_t>(context.max_rows), context.compute_dtype,
              [&context](const ExpertFfnArgs& slice) { RunRows(context, slice); });
}

}  // namespace tramontane::cuda
