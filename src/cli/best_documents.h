#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sheaf::cli {

struct RankedDocument {
  std::uint64_t index = 0;  // among all that came
  float score = 0;
  std::string text;
};

// The best of any number of documents, of which little more than those are kept meanwhile.
class BestDocuments {
 public:
  explicit BestDocuments(std::size_t most) : most_(most) {}  // 0: all

  void add(std::string text, float score);
  // Best first; equal ones as they came, those without a number last.
  std::vector<RankedDocument> take();

 private:
  void cut();

  std::size_t most_;
  std::uint64_t next_index_ = 0;
  std::vector<RankedDocument> documents_;
};

// For people, at most 80 columns wide, texts on one line and cut to fit.
std::string ranking_table(const std::vector<RankedDocument>& documents);
// [{"index": 1, "score": 0.9, "text": "..."}, ...], one a line.
std::string ranking_json(const std::vector<RankedDocument>& documents);

}  // namespace sheaf::cli
