// The embedding table where a backend's EmbedTokens reads it.
#ifndef TRAMONTANE_KERNELS_EMBEDDING_TABLE_H_
#define TRAMONTANE_KERNELS_EMBEDDING_TABLE_H_

#include "kernels/buffer.h"
#include "model/tensor_view.h"

namespace tramontane {

// Made by Backend::PlaceEmbedding of the same backend.
struct EmbeddingTable {
  TensorView view;  // [vocab_size, hidden_size], any dtype, as in the checkpoint
  Buffer memory;    // what `view` points into; empty: the checkpoint, which outlives the table
};

}  // namespace tramontane

#endif  // TRAMONTANE_KERNELS_EMBEDDING_TABLE_H_
