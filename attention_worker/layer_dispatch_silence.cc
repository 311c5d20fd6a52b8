// What a dispatch does about workers that do not answer.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "attention_worker/layer_dispatch.h"
#include "attention_worker/worker_fault.h"
#include "model/log.h"

namespace tramontane {

LayerDispatch::Slots LayerDispatch::OnlyCoveredBy(const SentBatch& sent) const {
  Slots slots;
  for (const int32_t slot : sent.covers) {
    if (num_covers_[slot] == 1 && result_.expert_rows[slot] == nullptr) slots.push_back(slot);
  }
  std::sort(slots.begin(), slots.end());
  return slots;
}

absl::Status LayerDispatch::OnAlarms(absl::Time now) {
  const size_t num_sent = sent_.size();
  for (size_t i = 0; i < num_sent; ++i) {
    if (sent_[i].answered) continue;
    absl::Status status;
    if (now >= sent_[i].silent_at) {
      status = OnSilence(i, now);
    } else if (now >= sent_[i].hedge_at) {
      status = Hedge(i);
    }
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status LayerDispatch::OnSilence(size_t index, absl::Time now) {
  const std::shared_ptr<ExpertClient> client = sent_[index].planned.client;
  sent_[index].silent_at = now + sent_[index].silence_limit;  // to look again
  placement_ = terms_->directory->placement();
  const Slots slots = OnlyCoveredBy(sent_[index]);
  DispatchPlan plan = PlanElsewhere(slots, client.get());
  if (!slots.empty() && plan.batches.empty()) return absl::OkStatus();  // it alone has them

  SentBatch& sent = sent_[index];
  sent.silent = true;
  asked_twice_ = true;
  trouble_since_ = std::min(trouble_since_, sent.time);
  const bool all_moved = plan.missing_experts.empty();
  Slots stay;
  for (const int32_t slot : sent.covers) {
    const bool stays = std::find(plan.missing_experts.begin(), plan.missing_experts.end(),
                                 routed_.topk_expert_ids[slot]) != plan.missing_experts.end();
    if (stays) stay.push_back(slot);
    if (!stays) --num_covers_[slot];
  }
  sent.covers = std::move(stay);
  if (all_moved) sent.silent_at = absl::InfiniteFuture();
  const absl::Status reason = absl::DeadlineExceededError(
      absl::StrCat("no answer to a batch of layer ", routed_.layer, " within ",
                   absl::FormatDuration(absl::Trunc(now - sent.time, absl::Milliseconds(1)))));
  terms_->observer->OnRetry(client->address(), routed_.layer, "SILENT");
  Log(LogLevel::kWarning, "rows of a silent expert worker go to another as well",
      {{"worker", client->address()}, {"layer", routed_.layer}, {"message", reason.message()}});
  if (all_moved && !IsOnlyHost(*placement_, client.get()) && SetAside(client, reason)) {
    terms_->silence_limit.OnSilence();
  }
  return Send(std::move(plan.batches));
}

absl::Status LayerDispatch::Hedge(size_t index) {
  sent_[index].hedge_at = absl::InfiniteFuture();
  const std::shared_ptr<ExpertClient> client = sent_[index].planned.client;
  DispatchPlan plan = PlanElsewhere(OnlyCoveredBy(sent_[index]), client.get());
  if (plan.batches.empty() || !plan.missing_experts.empty()) return absl::OkStatus();
  asked_twice_ = true;
  terms_->observer->OnHedge(client->address(), routed_.layer);
  return Send(std::move(plan.batches));
}

}  // namespace tramontane
