#include "model/sentencepiece_model.h"

#include <sentencepiece_processor.h>

namespace tramontane {
namespace {

std::optional<int> OptionalId(int id) { return id < 0 ? std::nullopt : std::optional<int>(id); }

}  // namespace

struct SentencePieceModel::Processor {
  sentencepiece::SentencePieceProcessor library;
};

SentencePieceModel::SentencePieceModel() : processor_(std::make_unique<Processor>()) {}
SentencePieceModel::~SentencePieceModel() = default;

std::unique_ptr<SentencePieceModel> SentencePieceModel::Load(std::string_view serialized,
                                                             std::string* error) {
  std::unique_ptr<SentencePieceModel> model(new SentencePieceModel());
  const auto status = model->processor_->library.LoadFromSerializedProto(serialized);
  if (!status.ok() || model->num_pieces() == 0) {
    *error = status.ok() ? "a model without pieces" : status.message();
    return nullptr;
  }
  model->leading_spaces_ = model->FindLeadingSpaces();
  return model;
}

bool SentencePieceModel::Encode(std::string_view text, std::vector<int>* ids,
                                std::string* error) const {
  const auto status = processor_->library.Encode(text, ids);
  if (!status.ok()) *error = status.message();
  return status.ok();
}

int SentencePieceModel::num_pieces() const { return processor_->library.GetPieceSize(); }

const std::string& SentencePieceModel::Piece(int id) const {
  return processor_->library.IdToPiece(id);
}

PieceKind SentencePieceModel::Kind(int id) const {
  if (processor_->library.IsControl(id)) return PieceKind::kControl;
  if (processor_->library.IsUnknown(id)) return PieceKind::kUnknown;
  return processor_->library.IsByte(id) ? PieceKind::kByte : PieceKind::kText;
}

std::string SentencePieceModel::Surface(int id) const {
  return processor_->library.DecodeIds(std::vector<int>{id});
}

// The settings that decide this (add_dummy_prefix, remove_extra_whitespaces) are not in the
// library's interface, so it is asked to decode a piece that starts with a space mark.
LeadingSpaces SentencePieceModel::FindLeadingSpaces() const {
  LeadingSpaces found = LeadingSpaces::kKeep;
  for (int id = 0; id < num_pieces(); ++id) {
    if (Kind(id) != PieceKind::kText || Piece(id).rfind(kSpaceMark, 0) != 0) continue;
    if (Surface(id).rfind(' ', 0) != 0) found = LeadingSpaces::kDropOne;
    if (Piece(id) != kSpaceMark) continue;
    if (found == LeadingSpaces::kDropOne &&
        processor_->library.DecodeIds(std::vector<int>{id, id}).empty()) {
      found = LeadingSpaces::kDropAll;
    }
    return found;
  }
  return found;
}

std::optional<int> SentencePieceModel::bos_id() const {
  return OptionalId(processor_->library.bos_id());
}

std::optional<int> SentencePieceModel::eos_id() const {
  return OptionalId(processor_->library.eos_id());
}

}  // namespace tramontane
