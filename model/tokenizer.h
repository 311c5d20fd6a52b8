// Text <-> token ids, by the checkpoint's own SentencePiece model.
#ifndef TRAMONTANE_MODEL_TOKENIZER_H_
#define TRAMONTANE_MODEL_TOKENIZER_H_

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tramontane {

// Immutable after Load; any thread may use it.
class Tokenizer {
 public:
  // Loads DIRECTORY/tokenizer.model. NOT_FOUND where there is none (the checkpoint then serves
  // token-id prompts only); INVALID_ARGUMENT where it is not a SentencePiece model or has more
  // pieces than `vocab_size`.
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& directory,
                                                         int vocab_size);
  ~Tokenizer();

  // Ids of `text` without BOS or EOS. Control tokens spelled in the text ("<s>") are plain text.
  // INVALID_ARGUMENT where `text` is not valid UTF-8.
  absl::StatusOr<std::vector<int>> Encode(std::string_view text) const;

  // The exact bytes that these ids stand for, after the first-piece rule of SentencePiece (the
  // leading space mark of the first piece is dropped). Control ids give nothing. Byte pieces give
  // their byte, so the result of an incomplete sequence may end inside a UTF-8 character. The
  // unknown piece gives SentencePiece's mark, " ⁇ "; an id without a piece (a padded vocabulary has
  // such) gives nothing.
  std::string Decode(std::span<const int> token_ids) const;

  // The bytes that `token_id` adds when it is not the first of a text: "▁the" gives " the".
  std::string PieceBytes(int token_id) const;

  // The vocabulary's spelling: "▁the", "<0x0A>", "<s>". "" for an id without a piece.
  std::string Piece(int token_id) const;

  bool IsControl(int token_id) const;  // BOS, EOS and their like: no text
  int num_pieces() const;
  // No token stands for more bytes of a text that is kept as it is.
  int max_piece_bytes() const;
  // Whether runs of spaces become one before the text is cut into pieces.
  bool joins_spaces() const;
  std::optional<int> bos_token_id() const;
  std::optional<int> eos_token_id() const;

 private:
  Tokenizer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tramontane

#endif  // TRAMONTANE_MODEL_TOKENIZER_H_
