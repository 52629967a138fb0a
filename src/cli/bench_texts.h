#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/result.h"

namespace sheaf::cli {

// Where the texts of a benchmark come from. The same seed gives the same texts.
class BenchTexts {
 public:
  // Made of common English words, `words` a text.
  static BenchTexts made_of_words(std::uint32_t words, std::uint64_t seed);
  // The lines of a file, again from the start after the last; empty lines are left out.
  static Result<BenchTexts> of_file(const std::string& path);

  std::vector<std::string> next(std::uint32_t count);

 private:
  BenchTexts() = default;
  std::string make_text();

  std::vector<std::string> lines_;  // of a file; empty where texts are made
  std::size_t next_line_ = 0;
  std::uint32_t words_ = 0;
  std::mt19937_64 random_;
};

// Words a text needs to be `prompt_length` tokens long, when texts of `probe_words` words were
// reported to have `probe_tokens` tokens (two of them special).
std::uint32_t words_for(std::uint32_t prompt_length, std::uint32_t probe_words,
                        double probe_tokens);

}  // namespace sheaf::cli
