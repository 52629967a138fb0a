#include "cli/bench_texts.h"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>

namespace sheaf::cli {
namespace {

// Short and common, so that tokenizers of any family make one token of each.
constexpr std::string_view kWords[] = {
    "the",   "of",    "and",   "to",     "in",   "is",    "that",  "for",   "it",    "was",
    "on",    "are",   "as",    "with",   "they", "at",    "be",    "this",  "have",  "from",
    "or",    "one",   "had",   "by",     "word", "but",   "not",   "what",  "all",   "were",
    "we",    "when",  "your",  "can",    "said", "there", "use",   "each",  "which", "she",
    "do",    "how",   "their", "if",     "will", "up",    "other", "about", "out",   "many",
    "then",  "them",  "these", "so",     "some", "her",   "would", "make",  "like",  "him",
    "into",  "time",  "has",   "look",   "two",  "more",  "write", "go",    "see",   "number",
    "no",    "way",   "could", "people", "my",   "than",  "first", "water", "been",  "call",
    "who",   "oil",   "its",   "now",    "find", "long",  "down",  "day",   "did",   "get",
    "come",  "made",  "may",   "part",   "over", "new",   "sound", "take",  "only",  "little",
    "work",  "know",  "place", "year",   "live", "me",    "back",  "give",  "most",  "very",
    "after", "thing", "our",   "just",   "name", "good",  "man",   "think", "say",   "great"};

}  // namespace

BenchTexts BenchTexts::made_of_words(std::uint32_t words, std::uint64_t seed) {
  BenchTexts texts;
  texts.words_ = std::max(words, 1u);
  texts.random_.seed(seed);
  return texts;
}

Result<BenchTexts> BenchTexts::of_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) return errno_error(path, errno);
  BenchTexts texts;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) texts.lines_.push_back(std::move(line));
  if (texts.lines_.empty())
    return Error{ErrorCode::invalid_argument, fmt::format("{} holds no text", path)};
  return texts;
}

std::string BenchTexts::make_text() {
  std::string text;
  for (std::uint32_t i = 0; i < words_; ++i) {
    if (i > 0) text += ' ';
    text += kWords[random_() % std::size(kWords)];
  }
  return text;
}

std::vector<std::string> BenchTexts::next(std::uint32_t count) {
  std::vector<std::string> texts;
  for (std::uint32_t i = 0; i < count; ++i)
    texts.push_back(lines_.empty() ? make_text() : lines_[next_line_++ % lines_.size()]);
  return texts;
}

std::uint32_t words_for(std::uint32_t prompt_length, std::uint32_t probe_words,
                        double probe_tokens) {
  constexpr double kSpecialTokens = 2;
  const double tokens_a_word =
      std::max((probe_tokens - kSpecialTokens) / static_cast<double>(probe_words), 0.25);
  const double words = (prompt_length - kSpecialTokens) / tokens_a_word;
  return static_cast<std::uint32_t>(std::max(1.0, std::round(words)));
}

}  // namespace sheaf::cli
