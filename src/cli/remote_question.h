#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "cli/embedder.h"

namespace sheaf::cli {

// A Question in the words of a server's HTTP routes.
class RemoteQuestion {
 public:
  // `model` empty: the server's default. `question.output` is set.
  RemoteQuestion(Question question, std::string model)
      : question_(std::move(question)), model_(std::move(model)) {}

  model::Output output() const { return *question_.output; }
  std::string_view target() const;  // of the POST
  std::string body(std::span<const std::string> texts) const;
  // An error that speaks of one of the texts, as "input[3]: why", with its place for that name.
  Error in_its_place(Error error, std::span<const std::string> places) const;
  // Appends the rows of an answer with status 200 to a body about `texts` texts. Fails if it is not
  // such an answer, whatever else.
  Status read(const std::string& answer, std::size_t texts, EmbeddedBatch& batch) const;

 private:
  std::string_view field() const;  // of the texts in the body

  Question question_;
  std::string model_;
};

// What GET /info says that the model gives where it is not asked; the vector of a text if it does
// not say.
model::Output main_output_of(const std::string& info);

// The same of the model that a sheaf server takes where none is named, by its GET /v1/models: of
// the first one that embeds. Nothing if there is none, or the list does not say.
std::optional<model::Output> main_output_in(const std::string& models);

}  // namespace sheaf::cli
