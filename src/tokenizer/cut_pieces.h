#pragma once

#include <vector>

#include "tokenizer/piece.h"

namespace sheaf::tokenizer {

// Replaces each piece by those that cut(piece, out) appends to `out`. One piece, as pre-tokenizers
// nearly always get, costs no allocation.
template <class Cut>
void cut_each(std::vector<Piece>& pieces, Cut cut) {
  if (pieces.size() == 1) {
    const Piece only = pieces.front();
    pieces.clear();
    cut(only, pieces);
    return;
  }
  std::vector<Piece> result;
  for (const Piece& piece : pieces) cut(piece, result);
  pieces = std::move(result);
}

}  // namespace sheaf::tokenizer
