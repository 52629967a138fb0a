#pragma once

#include "tokenizer/code_point_map.h"
#include "tokenizer/grapheme_tables.h"

namespace sheaf::tokenizer {

// Finds the ends of extended grapheme clusters (Unicode standard annex 29), but takes flags apart
// into their two letters: the Precompiled normalizer looks only at clusters of less than six bytes,
// and a flag has eight. Immutable.
class GraphemeScanner {
 public:
  GraphemeScanner();

  unicode::GraphemeClass class_of(unicode::CodePoint c) const { return classes_[c]; }
  // The end of the cluster that begins at `begin`, which is before `end`, in well-formed UTF-8.
  const char* cluster_end(const char* begin, const char* end) const;

 private:
  CodePointMap<unicode::GraphemeClass> classes_;
};

}  // namespace sheaf::tokenizer
