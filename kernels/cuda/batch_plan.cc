#include "kernels/cuda/batch_plan.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/context.h"
#include "kernels/round_up.h"

namespace tramontane::cuda {
namespace {

// Chunks with at most so many queries go to blocks that take a split each: a few rows at the end of
// a long context would keep few blocks busy for long otherwise. No bit depends on it.
constexpr int64_t kFewQueries = 64;

// A plan is staged in units of so many bytes.
constexpr int64_t kStagedBytes = 4096;
// A layer asks for its batch's plan twice. One that was asked for more often has been through some
// layers: a batch that is new then is not the step's other micro-batch.
constexpr int64_t kUsesOfALayer = 2;

struct Lists {
  std::vector<PlannedRow> rows;
  std::vector<int32_t> pages;
  std::vector<PlannedQueries> few, many;
  std::vector<FewSlice> few_slices;
  int64_t max_partials = 0;  // of a slice, unless it has but one element
};

// Adds queries to the last slice, or to a new one; `queries.first_partial` is set.
void PlanFew(PlannedQueries queries, int64_t num_kv_heads, Lists& lists) {
  const int64_t num_partials = num_kv_heads * queries.num_splits * queries.num_queries;
  if (lists.few_slices.empty() ||
      lists.few_slices.back().num_partials + num_partials > lists.max_partials) {
    lists.few_slices.push_back({static_cast<int>(lists.few.size()), 0, 0, 0});
  }
  FewSlice& slice = lists.few_slices.back();
  queries.first_partial = static_cast<int32_t>(slice.num_partials);
  slice.count += 1;
  slice.max_splits = std::max(slice.max_splits, int{queries.num_splits});
  slice.num_partials += num_partials;
  lists.few.push_back(queries);
}

void PlanSequence(const SequenceRows& sequence, int64_t group, const KvLayer& cache, Lists& lists) {
  const auto first_page = static_cast<int32_t>(lists.pages.size());
  const int64_t last_position = sequence.first_position + sequence.num_rows - 1;
  const auto num_pages = static_cast<size_t>(last_position / cache.block_size + 1);
  lists.pages.insert(lists.pages.end(), sequence.page_table.begin(),
                     sequence.page_table.begin() + static_cast<std::ptrdiff_t>(num_pages));
  for (int64_t r = 0; r < sequence.num_rows; ++r) {
    lists.rows[static_cast<size_t>(sequence.first_row + r)] = {
        static_cast<int32_t>(sequence.first_position + r), first_page};
  }
  const int64_t num_queries = sequence.num_rows * group;
  const bool few = num_queries <= kFewQueries;
  const int64_t step = few ? kWarpQueries : kBlockQueries;
  for (int64_t q = 0; q < num_queries; q += step) {
    const int64_t count = std::min(step, num_queries - q);
    const int64_t position = sequence.first_position + (q + count - 1) / group;
    const int64_t num_splits = position / kSplitPositions + 1;
    const PlannedQueries planned = {static_cast<int32_t>(sequence.first_row),
                                    static_cast<int32_t>(sequence.first_position),
                                    static_cast<int32_t>(last_position),
                                    first_page,
                                    static_cast<int32_t>(q),
                                    static_cast<int32_t>(count),
                                    static_cast<int32_t>(num_splits),
                                    0};
    if (few) {
      PlanFew(planned, cache.num_kv_heads, lists);
    } else {
      lists.many.push_back(planned);
    }
  }
}

// Appends the elements, 16-byte aligned; returns their offset.
template <typename T>
size_t Append(std::span<const T> elements, std::vector<std::byte>& content) {
  const size_t offset = RoundUp(content.size(), 16);
  content.resize(offset + elements.size() * sizeof(T));
  if (!elements.empty()) {
    std::memcpy(content.data() + offset, elements.data(), elements.size() * sizeof(T));
  }
  return offset;
}

}  // namespace

BatchPlans::Slot& BatchPlans::FindPlace(const Slot::Sizes& sizes) {
  Slot* oldest = &slots_[0];
  Slot* alike = nullptr;
  for (Slot& slot : slots_) {
    if (slot.last_used < oldest->last_used) oldest = &slot;
    if (slot.sizes != sizes || slot.num_uses <= kUsesOfALayer) continue;
    if (alike == nullptr || slot.last_used < alike->last_used) alike = &slot;
  }
  return alike != nullptr ? *alike : *oldest;
}

BatchPlan BatchPlans::Prepare(Context& context, std::span<const SequenceRows> sequences,
                              int64_t num_rows, int64_t num_heads, const KvLayer& cache) {
  Lists lists;
  lists.max_partials = context.max_partial_bytes / kPartialBytes;
  lists.rows.resize(static_cast<size_t>(num_rows));
  for (const SequenceRows& sequence : sequences) {
    PlanSequence(sequence, num_heads / cache.num_kv_heads, cache, lists);
  }
  content_.clear();
  const Slot::Sizes sizes = {lists.rows.size(), lists.few.size(), lists.many.size(),
                             static_cast<size_t>(cache.num_kv_heads)};
  Append<size_t>(sizes, content_);  // equal contents are of equal lists
  const size_t rows = Append<PlannedRow>(lists.rows, content_),
               few = Append<PlannedQueries>(lists.few, content_),
               many = Append<PlannedQueries>(lists.many, content_),
               pages = Append<int32_t>(lists.pages, content_);
  ++clock_;
  for (Slot& slot : slots_) {
    if (slot.content != content_) continue;
    slot.last_used = clock_;
    ++slot.num_uses;
    return slot.plan;
  }
  Slot& slot = FindPlace(sizes);
  slot.last_used = clock_;
  slot.num_uses = 1;
  slot.sizes = sizes;
  const auto size = static_cast<int64_t>(content_.size());
  for (Slot& any : slots_) any.memory.Reserve(context, kSlotBytes);
  if (size > slot.memory.size()) slot.memory.Reserve(context, 2 * size);
  if (context.failed()) return {};
  std::byte* const bytes = slot.memory.bytes();
  // What is staged behind it stays where it is while page tables grow.
  std::byte* const staged = context.Stage((size / kStagedBytes + 1) * kStagedBytes);
  std::memcpy(staged, content_.data(), content_.size());
  context.QueueCopy("copying a batch's plan", bytes, staged, content_.size());
  slot.content.swap(content_);
  slot.plan.rows = reinterpret_cast<const PlannedRow*>(bytes + rows);
  slot.plan.few = reinterpret_cast<const PlannedQueries*>(bytes + few);
  slot.plan.many = reinterpret_cast<const PlannedQueries*>(bytes + many);
  slot.plan.pages = reinterpret_cast<const int32_t*>(bytes + pages);
  slot.plan.num_many = static_cast<int>(lists.many.size());
  slot.few_slices.swap(lists.few_slices);
  slot.plan.few_slices = slot.few_slices;
  return slot.plan;
}

}  // namespace tramontane::cuda
