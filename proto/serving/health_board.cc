#include "proto/serving/health_board.h"

#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "proto/health.pb.h"
#include "proto/serving/unary_call.h"
#include "proto/wire/call_message.h"
#include "proto/wire/status.h"

namespace tramontane {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

// Of a service; ours are shorter.
constexpr size_t kMaxNameBytes = 200;

absl::StatusOr<std::string> NameAskedFor(const grpc::ByteBuffer& bytes) {
  HealthCheckRequest request;
  const absl::Status parsed = ParseMessage(bytes, &request);
  if (!parsed.ok()) return parsed;
  if (request.service().size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(absl::StrCat("a service's name of ", request.service().size(),
                                                   " bytes; expected at most ", kMaxNameBytes));
  }
  return request.service();
}

grpc::ByteBuffer Answer(HealthCheckResponse::ServingStatus status) {
  HealthCheckResponse response;
  response.set_status(status);
  return SerializeMessage(response);
}

}  // namespace

// What is known of each name, and who watches.
class HealthBoard::Names {
 public:
  absl::StatusOr<grpc::ByteBuffer> Check(const grpc::ByteBuffer& bytes) {
    const absl::StatusOr<std::string> name = NameAskedFor(bytes);
    if (!name.ok()) return name.status();
    const std::lock_guard<std::mutex> lock(mutex_);
    const HealthCheckResponse::ServingStatus status = Find(*name);
    if (status != HealthCheckResponse::SERVICE_UNKNOWN) return Answer(status);
    return absl::NotFoundError(
        absl::StrCat("no service of this name is served here: \"", *name, "\""));
  }

  void Set(const std::string& name, bool serving) {
    const std::lock_guard<std::mutex> lock(mutex_);
    serving_[name] = serving;
    TellWatchers();
  }
  void EndWatches();
  void SetAll(bool serving) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [name, of_name] : serving_) of_name = serving;
    TellWatchers();
  }

 private:
  friend class Watcher;

  HealthCheckResponse::ServingStatus Find(const std::string& name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = serving_.find(name);
    if (found == serving_.end()) return HealthCheckResponse::SERVICE_UNKNOWN;
    return found->second ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
  }
  void TellWatchers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  std::mutex mutex_;
  std::map<std::string, bool> serving_ ABSL_GUARDED_BY(mutex_);
  std::set<Watcher*> watchers_ ABSL_GUARDED_BY(mutex_);
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;  // of all watches
};

// A call of Watch: the status at once, then each change, until the peer leaves. What comes while a
// message is being written replaces what came before. Deletes itself.
class HealthBoard::Watcher final : public CallReactor {
 public:
  explicit Watcher(std::shared_ptr<Names> names) : names_(std::move(names)) {
    StartRead(&request_);
  }

  void OnReadDone(bool /*ok*/) override {
    absl::StatusOr<std::string> name = NameAskedFor(request_);
    const std::lock_guard<std::mutex> lock(names_->mutex_);
    if (ending_) return;  // the call was cancelled meanwhile
    if (!name.ok()) return End(ToGrpcStatus(name.status()));
    name_ = *std::move(name);
    names_->watchers_.insert(this);
    Tell();
    EndIfTold();
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(names_->mutex_);
    writing_ = false;
    if (ending_ || !ok) return End(grpc::Status::CANCELLED);
    Tell();
    EndIfTold();
  }
  void OnCancel() override {
    const std::lock_guard<std::mutex> lock(names_->mutex_);
    End(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

  // Under the names' lock: writes what is new.
  void Tell() {
    if (writing_ || ending_) return;
    const HealthCheckResponse::ServingStatus status = names_->Find(name_);
    if (told_ == status) return;
    told_ = status;
    response_ = Answer(status);
    writing_ = true;
    StartWrite(&response_);
  }
  // Under the names' lock: where all watches end, so does this, unless there is something to write.
  void EndIfTold() {
    if (!names_->ending_ || writing_ || ending_) return;
    End(ToGrpcStatus(absl::UnavailableError("the server is shutting down")));
  }

 private:
  void End(const grpc::Status& status) {
    names_->watchers_.erase(this);
    ending_ = true;
    if (writing_ || finished_) return;
    finished_ = true;
    Finish(status);
  }

  const std::shared_ptr<Names> names_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;  // belongs to the write in progress
  // Guarded by the names' lock.
  std::string name_;
  HealthCheckResponse::ServingStatus told_ = HealthCheckResponse::UNKNOWN;
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
};

void HealthBoard::Names::TellWatchers() {
  for (Watcher* watcher : watchers_) watcher->Tell();
}

void HealthBoard::Names::EndWatches() {
  const std::lock_guard<std::mutex> lock(mutex_);
  ending_ = true;
  const std::set<Watcher*> watchers = watchers_;  // those that end leave
  for (Watcher* watcher : watchers) watcher->EndIfTold();
}

HealthBoard::HealthBoard() : names_(std::make_shared<Names>()) {}

HealthBoard::~HealthBoard() = default;

std::vector<LoopMethod> HealthBoard::Methods() const {
  return {{"/grpc.health.v1.Health/Check",
           [names = names_](grpc::ServerContext*) {
             return AnswerOnce(
                 [names](const grpc::ByteBuffer& request) { return names->Check(request); });
           }},
          {"/grpc.health.v1.Health/Watch",
           [names = names_](grpc::ServerContext*) { return new Watcher(names); }}};
}

void HealthBoard::SetServingStatus(const std::string& name, bool serving) {
  names_->Set(name, serving);
}

void HealthBoard::EndWatches() { names_->EndWatches(); }

void HealthBoard::SetServingStatus(bool serving) { names_->SetAll(serving); }

}  // namespace tramontane
