#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tokenizer/bpe_walk.h"
#include "tokenizer/code_point_map.h"

namespace sheaf::tokenizer {

// The characters of several bytes, in byte-level BPE, that may stand as one symbol from the start:
// by code point their token, -1 for all others. Most of those that a vocabulary has a token for
// are.
//
// Call a character closed if it has a sound token (bpe_walk.h), made by a merge of rank r, and no
// merge of a rank up to r takes its whole or a part of it at one of its ends together with
// something of its neighbour. Until all bytes of such a character have become one, what merges at
// its ends ranks behind what merges inside it; so the bytes inside come first, whatever stands
// around, and to begin where they end leads to the same tokens.
CodePointMap<std::int32_t> closed_characters(const BpeWalk& walk,
                                             const std::vector<BpeWalk::Merge>& merges,
                                             const std::vector<std::string>& strings);

}  // namespace sheaf::tokenizer
