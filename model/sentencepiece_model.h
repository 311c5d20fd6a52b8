// The SentencePiece library, behind an interface of its own: its header declares an
// absl::string_view that is not Abseil's, so that no file may include both.
#ifndef TRAMONTANE_MODEL_SENTENCEPIECE_MODEL_H_
#define TRAMONTANE_MODEL_SENTENCEPIECE_MODEL_H_

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tramontane {

enum class PieceKind { kText, kByte, kControl, kUnknown };

// How the model's decoder treats space marks at the start of a text.
enum class LeadingSpaces { kKeep, kDropOne, kDropAll };

// A loaded SentencePiece model. Immutable, so any thread may use it. Every `id` is in
// [0, num_pieces()).
class SentencePieceModel {
 public:
  // nullptr where `serialized` is not a model; `error` then says why.
  static std::unique_ptr<SentencePieceModel> Load(std::string_view serialized, std::string* error);
  ~SentencePieceModel();

  // Ids of UTF-8 `text`, without BOS and EOS. False where the library fails; `error` says why.
  bool Encode(std::string_view text, std::vector<int>* ids, std::string* error) const;

  int num_pieces() const;
  const std::string& Piece(int id) const;  // with space marks; a byte piece is spelled "<0x41>"
  PieceKind Kind(int id) const;
  std::string Surface(int id) const;  // the piece's text as the library decodes it alone
  LeadingSpaces leading_spaces() const { return leading_spaces_; }
  std::optional<int> bos_id() const;
  std::optional<int> eos_id() const;

 private:
  SentencePieceModel();
  LeadingSpaces FindLeadingSpaces() const;

  struct Processor;
  std::unique_ptr<Processor> processor_;
  LeadingSpaces leading_spaces_ = LeadingSpaces::kKeep;
};

// U+2581, which stands for a space in pieces.
inline constexpr std::string_view kSpaceMark = "\xe2\x96\x81";

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_SENTENCEPIECE_MODEL_H_
