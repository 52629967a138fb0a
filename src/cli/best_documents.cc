#include "cli/best_documents.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "api/json_out.h"
#include "api/score.h"
#include "base/text.h"
#include "cli/table.h"

namespace sheaf::cli {
namespace {

constexpr std::size_t kColumns = 80;
constexpr std::size_t kSpareDocuments = 1024;  // between two cuts, at the least

}  // namespace

void BestDocuments::add(std::string text, float score) {
  documents_.push_back({next_index_++, score, std::move(text)});
  if (most_ > 0 && documents_.size() >= 2 * most_ + kSpareDocuments) cut();
}

std::vector<RankedDocument> BestDocuments::take() {
  cut();
  return std::move(documents_);
}

// What is left of an earlier cut stands before what came since: equal ones stay as they came.
void BestDocuments::cut() {
  std::vector<float> scores;
  for (const RankedDocument& document : documents_) scores.push_back(document.score);
  std::vector<std::uint32_t> order = api::ranking(scores);
  if (most_ > 0 && most_ < order.size()) order.resize(most_);
  std::vector<RankedDocument> best;
  for (const std::uint32_t i : order) best.push_back(std::move(documents_[i]));
  documents_ = std::move(best);
}

std::string ranking_table(const std::vector<RankedDocument>& documents) {
  std::size_t score_width = 5, index_width = 5;  // of their titles
  for (const RankedDocument& document : documents) {
    score_width = std::max(score_width, fmt::formatted_size("{:.4f}", document.score));
    index_width = std::max(index_width, fmt::formatted_size("{}", document.index));
  }
  const std::size_t text_width = kColumns - score_width - index_width - 4;
  Table table({{"score"}, {"index"}, {"text", true}});
  for (const RankedDocument& document : documents)
    table.add_row({fmt::format("{:{}.4f}", document.score, score_width),
                   std::to_string(document.index), one_line(document.text, text_width)});
  return table.render();
}

std::string ranking_json(const std::vector<RankedDocument>& documents) {
  std::string out;
  for (const RankedDocument& document : documents) {
    out +=
        fmt::format("{}{{\"index\": {}, \"score\": ", out.empty() ? "[" : ",\n ", document.index);
    api::append_number(out, document.score);
    out += ", \"text\": ";
    append_json_quoted(out, document.text);
    out += '}';
  }
  return (out.empty() ? "[" : out) + "]\n";
}

}  // namespace sheaf::cli
