#include <signal.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/chaos/faulty_worker.h"
#include "tests/chaos/scenario.h"
#include "tests/chaos/worker_namespace.h"
#include "tests/integration/cluster.h"

namespace tramontane {
namespace {

absl::Status KillThenRestart(ChaosCluster& cluster, const std::vector<std::string>& names,
                             double scale) {
  for (const std::string& name : names) cluster.Signal(name, SIGKILL);
  absl::SleepFor(absl::Seconds(1) * scale);
  for (const std::string& name : names) {
    const absl::Status restarted = cluster.Restart(name);
    if (!restarted.ok()) return restarted;
  }
  return absl::OkStatus();
}

absl::Status StopThenContinue(ChaosCluster& cluster, const std::string& name, double scale) {
  cluster.Signal(name, SIGSTOP);
  absl::SleepFor(absl::Seconds(4) * scale);
  cluster.Signal(name, SIGCONT);
  return absl::OkStatus();
}

// Runs a tenth of the time, in turns of 20 ms.
absl::Status SlowDown(ChaosCluster& cluster, const std::string& name, double scale) {
  const absl::Time end = absl::Now() + absl::Seconds(4) * scale;
  while (absl::Now() < end) {
    cluster.Signal(name, SIGSTOP);
    absl::SleepFor(absl::Milliseconds(18));
    cluster.Signal(name, SIGCONT);
    absl::SleepFor(absl::Milliseconds(2));
  }
  return absl::OkStatus();
}

// One replica of experts 0-3 answers wrongly for a while, and is then sound again.
absl::Status AnswerWrongly(ChaosCluster& cluster, Fault fault, double scale) {
  const auto worker = FaultyWorker::Start(cluster.address("expert-0"));
  if (!worker.ok()) return worker.status();
  const absl::Status replaced = cluster.Replace("expert-0", (*worker)->address());
  if (!replaced.ok()) return replaced;
  absl::SleepFor(absl::Seconds(2));  // used by now
  (*worker)->set_fault(fault);
  absl::SleepFor(absl::Seconds(2) * scale);
  (*worker)->set_fault(Fault::kNone);
  absl::SleepFor(absl::Seconds(1));
  return cluster.Replace("expert-0", cluster.address("expert-0"));
}

absl::Status RestartAll(ChaosCluster& cluster) {
  std::vector<std::string> names = cluster.Names("expert-");
  for (const std::string& name : cluster.Names("attention-")) names.push_back(name);
  for (const std::string& name : names) {
    absl::Status status = cluster.Terminate(name);
    if (status.ok()) status = cluster.Restart(name);
    if (!status.ok()) return status;
    absl::SleepFor(
        absl::Seconds(2));  // the next one goes when this one is back, as Kubernetes does
  }
  return absl::OkStatus();
}

// 1 → 4 → 2 workers that host everything.
absl::Status Scale(ChaosCluster& cluster, double scale) {
  for (int i = 0; i < 3; ++i) {
    const auto added = cluster.AddExpertWorker("all");
    if (!added.ok()) return added.status();
    absl::SleepFor(absl::Seconds(1) * scale);
  }
  for (const char* name : {"expert-0", "expert-2"}) {
    absl::Status status = cluster.Delist(name);
    if (!status.ok()) return status;
    absl::SleepFor(absl::Seconds(2) * scale);
    status = cluster.Terminate(name);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// A third replica whose copy of the checkpoint has a damaged byte in an expert's weights.
absl::Status AddDamagedReplica(ChaosCluster& cluster, double scale) {
  const TemporaryDirectory copy;
  std::error_code error;
  std::filesystem::copy(DemoModel(), copy.path(), error);
  if (error) return absl::InternalError("cannot copy the model");
  const std::string weights = copy.path() + "/model.safetensors";
  std::fstream file(weights, std::ios::in | std::ios::out | std::ios::binary);
  const auto size = static_cast<std::streamoff>(std::filesystem::file_size(weights));
  for (std::streamoff at = size / 4; at < size; at += size / 512) {
    file.seekp(at | 1);
    file.put('\x40');
  }
  file.close();
  const auto added = cluster.AddExpertWorker("0-3", copy.path());
  if (!added.ok()) return added.status();
  absl::SleepFor(absl::Seconds(3) * scale);
  return cluster.Delist(*added);
}

// A third replica of every expert on a network of its own, used before it is disturbed.
absl::Status DisturbNetwork(ChaosCluster& cluster,
                            const std::function<absl::Status(WorkerNamespace& network)>& disturb) {
  const auto network = WorkerNamespace::Create();
  if (!network.ok()) return network.status();
  const auto added = cluster.AddExpertWorker("all", "", (*network)->place());
  if (!added.ok()) return added.status();
  absl::SleepFor(absl::Seconds(3));
  absl::Status status = disturb(**network);
  absl::SleepFor(absl::Seconds(2));
  status.Update(cluster.Delist(*added));
  cluster.Signal(*added, SIGKILL);
  return status;
}

absl::Status Partition(ChaosCluster& cluster, double scale) {
  return DisturbNetwork(cluster, [scale](WorkerNamespace& network) {
    const absl::Status cut = network.CutOff();
    if (!cut.ok()) return cut;
    absl::SleepFor(absl::Seconds(4) * scale);
    return network.Reconnect();
  });
}

// A fifth of the time nothing gets through, 20 ms at a time.
absl::Status LosePackets(ChaosCluster& cluster, double scale) {
  return DisturbNetwork(cluster, [scale](WorkerNamespace& network) {
    const absl::Time end = absl::Now() + absl::Seconds(4) * scale;
    absl::Status status;
    while (absl::Now() < end && status.ok()) {
      status.Update(network.CutOff());
      absl::SleepFor(absl::Milliseconds(20));
      status.Update(network.Reconnect());
      absl::SleepFor(absl::Milliseconds(80));
    }
    return status;
  });
}

absl::Status RunOutOfMemory(ChaosCluster& cluster, double scale) {
  const absl::Status limited = cluster.ForbidMoreMemory("expert-0");
  if (!limited.ok()) return limited;
  absl::SleepFor(absl::Seconds(3) * scale);
  return KillThenRestart(cluster, {"expert-0"}, scale);
}

absl::Status SwapCertificates(ChaosCluster& cluster, double scale) {
  cluster.SwapCertificates();
  absl::SleepFor(absl::Seconds(3) * scale);  // read again every second
  for (const char* name : {"expert-0", "attention-0"}) {
    const absl::Status restarted = KillThenRestart(cluster, {name}, scale);
    if (!restarted.ok()) return restarted;
    absl::SleepFor(absl::Seconds(2));
  }
  // Of these two none is left that has not connected with the new ones.
  for (const char* name : {"expert-2", "attention-1"}) {
    const absl::Status restarted = KillThenRestart(cluster, {name}, scale);
    if (!restarted.ok()) return restarted;
    absl::SleepFor(absl::Seconds(2));
  }
  return absl::OkStatus();
}

// Two shards of two replicas each.
ChaosClusterOptions Replicated(int num_attention_workers = 0, bool mutual_tls = false) {
  return {{"0-3", "4-7", "0-3", "4-7"}, num_attention_workers, mutual_tls};
}

constexpr absl::Duration kKillGoal = absl::Seconds(1);
constexpr absl::Duration kSilenceGoal = absl::Seconds(2);

std::vector<Scenario> ExpertScenarios() {
  return {
      {"kill-expert-worker", "kill -9 of one of two replicas, which is started again", Replicated(),
       kKillGoal,
       [](ChaosCluster& c, double scale) { return KillThenRestart(c, {"expert-0"}, scale); }},
      {"kill-two-expert-workers", "kill -9 of one replica of each shard at once", Replicated(),
       kKillGoal,
       [](ChaosCluster& c, double scale) {
         return KillThenRestart(c, {"expert-0", "expert-1"}, scale);
       }},
      {"stop-expert-worker", "SIGSTOP of one of two replicas for 4 s, then SIGCONT", Replicated(),
       kSilenceGoal,
       [](ChaosCluster& c, double scale) { return StopThenContinue(c, "expert-0", scale); }},
      {"slow-expert-worker", "one of two replicas runs a tenth of the time", Replicated(),
       kSilenceGoal, [](ChaosCluster& c, double scale) { return SlowDown(c, "expert-0", scale); }},
      {"partition", "one of three replicas on a network that drops every packet for 4 s",
       Replicated(), kSilenceGoal, Partition},
      {"packet-loss", "one of three replicas on a network that drops a fifth of all packets",
       Replicated(), kSilenceGoal, LosePackets},
      {"non-finite-answers", "one of two replicas answers NaN for 2 s", Replicated(), kKillGoal,
       [](ChaosCluster& c, double scale) { return AnswerWrongly(c, Fault::kNonFinite, scale); }},
      {"short-answers", "one of two replicas leaves a row out for 2 s", Replicated(), kKillGoal,
       [](ChaosCluster& c, double scale) { return AnswerWrongly(c, Fault::kShort, scale); }},
      {"damaged-checkpoint", "a third replica comes with a damaged checkpoint", Replicated(),
       kKillGoal, AddDamagedReplica},
      {"memory-limit", "one of two replicas may not have more memory, and is started again",
       Replicated(), kKillGoal, RunOutOfMemory},
      {"shard-gone", "both replicas of a shard are killed and come back 10 s later", Replicated(),
       absl::InfiniteDuration(),
       [](ChaosCluster& c, double) {
         return KillThenRestart(c, {"expert-0", "expert-2"}, 10);
       }},
      {"scale-experts",
       "1, 4, then 2 workers that host all experts",
       {.experts = {"all"}},
       kKillGoal,
       Scale},
  };
}

std::vector<Scenario> AttentionScenarios() {
  return {
      {"kill-attention-worker", "kill -9 of one of two attention workers", Replicated(2), kKillGoal,
       [](ChaosCluster& c, double scale) { return KillThenRestart(c, {"attention-0"}, scale); }},
      {"kill-both-kinds", "kill -9 of an attention worker and an expert worker at once",
       Replicated(2), kKillGoal,
       [](ChaosCluster& c, double scale) {
         return KillThenRestart(c, {"attention-0", "expert-1"}, scale);
       }},
      {"stop-attention-worker", "SIGSTOP of one of two attention workers for 4 s, then SIGCONT",
       Replicated(2), kSilenceGoal,
       [](ChaosCluster& c, double scale) { return StopThenContinue(c, "attention-0", scale); }},
      {"certificate-swap",
       "certificates of a new CA for everybody, then every connection is made anew",
       Replicated(2, /*mutual_tls=*/true), kKillGoal, SwapCertificates},
      {"rolling-restart", "SIGTERM and restart of every expert and attention worker in turn",
       Replicated(2), kKillGoal, [](ChaosCluster& c, double) { return RestartAll(c); }},
  };
}

}  // namespace

const std::vector<Scenario>& AllScenarios() {
  static const std::vector<Scenario> all = [] {
    std::vector<Scenario> scenarios = ExpertScenarios();
    for (Scenario& scenario : AttentionScenarios()) scenarios.push_back(std::move(scenario));
    return scenarios;
  }();
  return all;
}

}  // namespace tramontane
