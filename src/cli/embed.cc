#include <fmt/core.h>

#include <csignal>
#include <filesystem>
#include <memory>

#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/text_command.h"
#include "cli/vector_writer.h"

// `sheaf embed`: lines in, vectors out, as many batches under way as the embedder takes.
namespace sheaf::cli {
namespace {

struct EmbedSettings {
  TextSettings text{.default_model = "sentence-transformers/all-MiniLM-L6-v2"};
  std::vector<std::string> files;
  std::string output;
  std::string format = "auto";
  std::string output_kind = "auto";
  std::optional<std::string> prompt_name;
};

// A token's vector is as long as a text's: batches of them are smaller unless a size is given.
constexpr std::uint32_t kBatchOfTokens = 8;

FlagSet flags_for(EmbedSettings& s) {
  FlagSet flags("sheaf embed [FILE...] [flags]",
                "Vectors of the lines of files, or of standard input.");
  flags.add_positional("FILE", s.files);
  add_model_flags(flags, s.text, "all-MiniLM-L6-v2");
  flags.add({"output", "FILE", "where vectors go", "", "standard output"}, text(s.output));
  flags.add({"format", "F", "jsonl or npy", "", "by the output's name"},
            choice(s.format, {"auto", "jsonl", "npy"}));
  flags.add({"output-kind", "K", "vector, sparse or tokens", "", "the model's"},
            choice(s.output_kind, {"auto", "vector", "sparse", "tokens"}));
  flags.add({"pooling", "P", "cls, mean, max, last_token or splade", "", "the model's"},
            checked_text(s.text.pooling, model::check_pooling));
  flags.add({"prompt-name", "P", "prompt to put before", "", "the model's"}, text(s.prompt_name));
  add_text_flags(flags, s.text);
  flags.set_epilogue(
      "JSON lines hold \"text\" and \"embedding\": [numbers], or \"sparse\": [{\"index\",\n"
      "\"value\"}], or of tokens \"embeddings\": [[numbers]]; .npy is one float32 array, a\n"
      "row a line. SHEAF_SERVER and SHEAF_API_KEY are --server and --api-key.\n"
      "exit codes: 0 done, 1 failed, 2 wrong usage\n"
      "example: sheaf embed notes.txt --output notes.npy\n");
  return flags;
}

// By the output's name; pipes and devices have none.
Result<std::string> format_of(const std::string& output) {
  const std::string ending = std::filesystem::path(output).extension().string();
  if (ending == ".npy") return std::string("npy");
  std::error_code unknown;
  const bool is_file = !std::filesystem::is_other(output, unknown) && !output.starts_with("/dev/");
  if (output.empty() || ending == ".jsonl" || ending == ".ndjson" || !is_file)
    return std::string("jsonl");
  return usage_error(fmt::format(
      "--output {} ends in neither .jsonl, .ndjson nor .npy; say --format jsonl or npy", output));
}

std::optional<model::Output> asked_output(const EmbedSettings& s) {
  for (const auto output : {model::Output::vector, model::Output::sparse, model::Output::tokens})
    if (s.output_kind == name_of(output)) return output;
  return std::nullopt;
}

Status check_format(const EmbedSettings& s, std::optional<model::Output> output) {
  if (s.format != "npy" || output.value_or(model::Output::vector) == model::Output::vector)
    return {};
  return usage_error(
      fmt::format("--format npy holds a vector a text, and this gives {}; say --format jsonl",
                  *output == model::Output::sparse ? "sparse ones" : "one a token"));
}

Status check(const FlagSet& flags, EmbedSettings& s) {
  if (s.format == "auto") {
    SHEAF_ASSIGN(s.format, format_of(s.output));
  }
  if (s.format == "npy" && s.output.empty())
    return usage_error("--format npy needs --output FILE: its first bytes are written last");
  SHEAF_TRY(check_format(s, asked_output(s)));
  SHEAF_TRY(check_text_settings(flags, s.text));
  if (asked_output(s) == model::Output::tokens && !flags.given("batch-size"))
    s.text.batch_size = kBatchOfTokens;
  return {};
}

Status embed(const EmbedSettings& s) {
  SHEAF_ASSIGN(TextSource source, TextSource::open(s.files));
  SHEAF_ASSIGN(const auto embedder,
               open_embedder(s.text, {.output = asked_output(s), .prompt_name = s.prompt_name}));
  const model::Output output = embedder->output();
  SHEAF_TRY(check_format(s, output));
  SHEAF_ASSIGN(const auto writer, s.format == "npy" ? make_npy_writer(s.output)
                                                    : make_json_lines_writer(s.output, output));
  SHEAF_TRY(answer_lines("embed", source, *embedder, s.text.batch_size,
                         [&writer](const EmbeddedBatch& batch) {
                           return writer->write(batch.texts, batch.rows, batch.width);
                         }));
  return writer->finish();
}

}  // namespace

int embed_command(Arguments arguments) {
  EmbedSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done =
          take_client_flags("embed", flags, arguments, [&] { return check(flags, settings); }))
    return *done;
  std::signal(SIGPIPE, SIG_IGN);  // a replica or reader that went away is an error of one write
  const Status status = embed(settings);
  return status.ok() ? kExitOk : fail("embed", status.error());
}

}  // namespace sheaf::cli
