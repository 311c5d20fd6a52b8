#include "attention_worker/replica_choice.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/check.h"

namespace tramontane {
namespace {

constexpr auto kLeastShare = static_cast<int64_t>(kUnitsPerExpert);
// A move must end the layer sooner by this share of its time: less is noise of the measurement.
constexpr double kLeastGain = 0.03;

// Rows of one expert that may leave the worker that finishes last.
struct Move {
  size_t expert = 0;
  int to = 0;
  int64_t num_pairs = 0;
  double end = 0;  // when the later of the two workers is done
};

class Choice {
 public:
  Choice(std::span<const ExpertDemand> demands, std::span<const ReplicaSpeed> workers)
      : demands_(demands),
        workers_(workers),
        shares_(demands.size()),
        num_shares_(workers.size()),
        ends_(workers.size()) {
    for (size_t i = 0; i < workers.size(); ++i) ends_[i] = workers[i].ready_seconds;
  }

  // Experts that have no choice first, so that the others see what they take.
  void PlaceWhole() {
    std::vector<size_t> order(demands_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [this](size_t a, size_t b) {
      const bool single_a = demands_[a].replicas.size() == 1;
      const bool single_b = demands_[b].replicas.size() == 1;
      if (single_a != single_b) return single_a;
      return demands_[a].num_pairs > demands_[b].num_pairs;
    });
    for (const size_t expert : order) {
      const ExpertDemand& demand = demands_[expert];
      TRAMONTANE_CHECK(!demand.replicas.empty());
      if (demand.num_pairs == 0) continue;
      const double units = WorkUnits(demand.num_pairs, 1);
      int best = demand.replicas.front();
      for (const int worker : demand.replicas) {
        if (EndWith(worker, units) < EndWith(best, units)) best = worker;
      }
      ends_[best] = EndWith(best, units);
      shares_[expert].push_back({best, demand.num_pairs});
      ++num_shares_[best];
    }
  }

  // Each round moves rows away from the worker that finishes last; the number of rounds is a bound,
  // not a goal.
  void Even() {
    for (size_t round = 0; round < 2 * demands_.size() + workers_.size(); ++round) {
      const int last = LastToFinish();
      Move best{.end = ends_[last] * (1 - kLeastGain)};
      for (size_t expert = 0; expert < demands_.size(); ++expert) ConsiderMoves(expert, last, best);
      if (best.num_pairs == 0) return;
      Apply(best, last);
    }
  }

  std::vector<std::vector<ExpertShare>> TakeShares() { return std::move(shares_); }

 private:
  // Of the workers that have a share.
  int LastToFinish() const {
    int last = 0;
    for (size_t worker = 1; worker < ends_.size(); ++worker) {
      if (num_shares_[worker] == 0) continue;
      if (num_shares_[last] == 0 || ends_[worker] > ends_[last]) last = static_cast<int>(worker);
    }
    return last;
  }

  double EndWith(int worker, double units) const {
    return ends_[worker] + units * workers_[worker].seconds_per_unit;
  }

  const ExpertShare* Find(size_t expert, int worker) const {
    for (const ExpertShare& share : shares_[expert]) {
      if (share.worker == worker) return &share;
    }
    return nullptr;
  }

  // Sets `best` where moving rows of `expert` away from `from` ends sooner.
  void ConsiderMoves(size_t expert, int from, Move& best) const {
    const ExpertShare* const share = Find(expert, from);
    if (share == nullptr) return;
    for (const int to : demands_[expert].replicas) {
      if (to == from || ends_[to] >= best.end) continue;
      const bool reads_already = Find(expert, to) != nullptr;
      Consider({expert, to, share->num_pairs, 0}, from, reads_already, /*whole=*/true, best);
      // As many as make both finish together.
      const double from_speed = workers_[from].seconds_per_unit;
      const double to_speed = workers_[to].seconds_per_unit;
      const double reading = reads_already ? 0 : kUnitsPerExpert * to_speed;
      const auto even = static_cast<int64_t>(
          std::floor((ends_[from] - ends_[to] - reading) / (from_speed + to_speed)));
      const int64_t least = reads_already ? 1 : kLeastShare;
      const int64_t most = share->num_pairs - kLeastShare;
      if (even < least || most < least) continue;
      Consider({expert, to, std::min(even, most), 0}, from, reads_already, /*whole=*/false, best);
    }
  }

  void Consider(Move move, int from, bool reads_already, bool whole, Move& best) const {
    const double units = static_cast<double>(move.num_pairs);
    const double leaves = units + (whole ? kUnitsPerExpert : 0);
    const double comes = units + (reads_already ? 0 : kUnitsPerExpert);
    move.end =
        std::max(ends_[from] - leaves * workers_[from].seconds_per_unit, EndWith(move.to, comes));
    if (move.end < best.end) best = move;
  }

  void Apply(const Move& move, int from) {
    std::vector<ExpertShare>& shares = shares_[move.expert];
    const auto source = std::find_if(shares.begin(), shares.end(),
                                     [from](const ExpertShare& s) { return s.worker == from; });
    double leaves = static_cast<double>(move.num_pairs);
    double comes = leaves;
    source->num_pairs -= move.num_pairs;
    if (source->num_pairs == 0) {
      leaves += kUnitsPerExpert;
      shares.erase(source);
      --num_shares_[from];
    }
    const auto target = std::find_if(shares.begin(), shares.end(),
                                     [&move](const ExpertShare& s) { return s.worker == move.to; });
    if (target != shares.end()) {
      target->num_pairs += move.num_pairs;
    } else {
      comes += kUnitsPerExpert;
      shares.push_back({move.to, move.num_pairs});
      ++num_shares_[move.to];
    }
    ends_[from] -= leaves * workers_[from].seconds_per_unit;
    ends_[move.to] += comes * workers_[move.to].seconds_per_unit;
  }

  const std::span<const ExpertDemand> demands_;
  const std::span<const ReplicaSpeed> workers_;
  std::vector<std::vector<ExpertShare>> shares_;  // [num_demands]
  std::vector<int> num_shares_;                   // [num_workers] of all experts
  std::vector<double> ends_;                      // [num_workers] when each is done
};

}  // namespace

std::vector<std::vector<ExpertShare>> ChooseReplicas(std::span<const ExpertDemand> demands,
                                                     std::span<const ReplicaSpeed> workers) {
  Choice choice(demands, workers);
  choice.PlaceWhole();
  choice.Even();
  return choice.TakeShares();
}

}  // namespace tramontane
