#include "model/tokenizer.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "model/file.h"
#include "model/sentencepiece_model.h"
#include "model/utf8.h"

namespace tramontane {
namespace {

constexpr uint64_t kMaxModelBytes = 256 << 20;

std::string SpaceMarksToSpaces(std::string_view piece) {
  std::string text;
  size_t mark;
  while ((mark = piece.find(kSpaceMark)) != std::string_view::npos) {
    text.append(piece.substr(0, mark)).push_back(' ');
    piece.remove_prefix(mark + kSpaceMark.size());
  }
  return text.append(piece);
}

// The bytes that the piece stands for within a text.
std::string BytesOfPiece(const SentencePieceModel& model, int id) {
  switch (model.Kind(id)) {
    case PieceKind::kControl:
      return "";
    case PieceKind::kByte:  // "<0x41>"; the library checks the spelling when it loads the model
      return std::string(1,
                         static_cast<char>(std::stoi(model.Piece(id).substr(3, 2), nullptr, 16)));
    case PieceKind::kUnknown:
      return model.Surface(id);
    case PieceKind::kText:
      return SpaceMarksToSpaces(model.Piece(id));
  }
  return "";
}

}  // namespace

struct Tokenizer::Impl {
  std::unique_ptr<SentencePieceModel> model;
  std::vector<std::string> bytes_of_piece;   // [num_pieces]
  std::vector<bool> starts_with_space_mark;  // [num_pieces]
  int max_piece_bytes = 0;

  bool Known(int token_id) const {
    return token_id >= 0 && static_cast<size_t>(token_id) < bytes_of_piece.size();
  }
};

Tokenizer::Tokenizer() : impl_(std::make_unique<Impl>()) {}
Tokenizer::~Tokenizer() = default;

absl::StatusOr<std::unique_ptr<Tokenizer>> Tokenizer::Load(const std::string& directory,
                                                           int vocab_size) {
  const std::string path = absl::StrCat(directory, "/tokenizer.model");
  const absl::StatusOr<std::string> serialized = ReadFile(path, kMaxModelBytes);
  if (!serialized.ok()) return serialized.status();
  std::string error;
  std::unique_ptr<SentencePieceModel> model = SentencePieceModel::Load(*serialized, &error);
  if (model == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": expected a SentencePiece model, found ",
                                                   serialized->size(), " bytes of something else (",
                                                   error, "); download it again"));
  }
  if (model->num_pieces() > vocab_size) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": expected at most config.json's vocab_size (", vocab_size, ") pieces, found ",
        model->num_pieces(), "; tokenizer and weights are not of the same checkpoint"));
  }
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer());
  Impl& impl = *tokenizer->impl_;
  for (int id = 0; id < model->num_pieces(); ++id) {
    impl.bytes_of_piece.push_back(BytesOfPiece(*model, id));
    impl.max_piece_bytes =
        std::max(impl.max_piece_bytes, static_cast<int>(impl.bytes_of_piece.back().size()));
    impl.starts_with_space_mark.push_back(model->Kind(id) == PieceKind::kText &&
                                          model->Piece(id).rfind(kSpaceMark, 0) == 0);
  }
  impl.model = std::move(model);
  return tokenizer;
}

absl::StatusOr<std::vector<int>> Tokenizer::Encode(std::string_view text) const {
  const size_t valid = ValidUtf8Prefix(text);
  if (valid != text.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected text in UTF-8, found a byte sequence that is none at byte ", valid,
                     " of ", text.size(), "; send UTF-8, or token ids"));
  }
  std::vector<int> token_ids;
  std::string error;
  if (!impl_->model->Encode(text, &token_ids, &error)) {
    return absl::InternalError(absl::StrCat("SentencePiece: ", error));
  }
  return token_ids;
}

std::string Tokenizer::Decode(std::span<const int> token_ids) const {
  const LeadingSpaces leading_spaces = impl_->model->leading_spaces();
  std::string text;
  bool drop_space = leading_spaces != LeadingSpaces::kKeep;
  for (const int id : token_ids) {
    if (!impl_->Known(id)) continue;
    std::string_view bytes = impl_->bytes_of_piece[id];
    if (drop_space && impl_->starts_with_space_mark[id]) {
      bytes.remove_prefix(1);
      drop_space = leading_spaces == LeadingSpaces::kDropAll;
    }
    text.append(bytes);
    drop_space = drop_space && text.empty();
  }
  return text;
}

std::string Tokenizer::PieceBytes(int token_id) const {
  return impl_->Known(token_id) ? impl_->bytes_of_piece[token_id] : std::string();
}

std::string Tokenizer::Piece(int token_id) const {
  return impl_->Known(token_id) ? impl_->model->Piece(token_id) : std::string();
}

bool Tokenizer::IsControl(int token_id) const {
  return impl_->Known(token_id) && impl_->model->Kind(token_id) == PieceKind::kControl;
}

int Tokenizer::max_piece_bytes() const { return impl_->max_piece_bytes; }

bool Tokenizer::joins_spaces() const {
  return impl_->model->leading_spaces() == LeadingSpaces::kDropAll;
}

int Tokenizer::num_pieces() const { return static_cast<int>(impl_->bytes_of_piece.size()); }

std::optional<int> Tokenizer::bos_token_id() const { return impl_->model->bos_id(); }

std::optional<int> Tokenizer::eos_token_id() const { return impl_->model->eos_id(); }

}  // namespace tramontane
