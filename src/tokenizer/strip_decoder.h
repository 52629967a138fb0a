#pragma once

#include "tokenizer/decoder.h"

namespace sheaf::tokenizer {

// Takes one character off the ends of each token: up to `start` times off its start, up to `stop`
// times off its end.
class StripDecoder final : public Decoder {
 public:
  StripDecoder(std::string content, std::size_t start, std::size_t stop)
      : content_(std::move(content)), start_(start), stop_(stop) {}
  static Result<std::unique_ptr<const Decoder>> parse(const JsonField& field);

  void decode(std::vector<std::string>& tokens) const override;

 private:
  std::string content_;  // one character
  std::size_t start_, stop_;
};

}  // namespace sheaf::tokenizer
