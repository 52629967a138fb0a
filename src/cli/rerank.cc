#include <fmt/core.h>

#include <csignal>
#include <memory>
#include <optional>

#include "api/score.h"
#include "base/utf8.h"
#include "cli/best_documents.h"
#include "cli/client_flags.h"
#include "cli/command.h"
#include "cli/table.h"
#include "cli/text_command.h"

// `sheaf rerank`: a query and lines in, the lines by how well they answer it out.
namespace sheaf::cli {
namespace {

struct RerankSettings {
  TextSettings text;
  std::vector<std::string> words;  // the query, then files
  std::uint32_t top_n = 0;
  std::string instruction;
  std::optional<std::string> prompt_name;
  bool raw_scores = false;
  bool json = false;
};

FlagSet flags_for(RerankSettings& s) {
  FlagSet flags("sheaf rerank QUERY [FILE...] [flags]",
                "Ranks the lines of files, or of standard input, by a query; best first.");
  flags.add_positional("QUERY", s.words);
  add_model_flags(flags, s.text, "the server's");
  flags.add({"top-n", "N", "show only the best", "", "all"}, whole_number(s.top_n, 0, 1u << 30));
  flags.add({"instruction", "TEXT", "what a Qwen3-Reranker is to look for", "", "the model's"},
            text(s.instruction));
  flags.add({"prompt-name", "P", "a prompt of the model instead of it", "", "the model's"},
            text(s.prompt_name));
  flags.add({"pooling", "P", "rerank: of a bare Qwen3-Reranker", "", "the model's"},
            checked_text(s.text.pooling, model::check_pooling));
  flags.add({"raw-scores", "", "scores before the sigmoid that makes them 0 to 1"},
            boolean(s.raw_scores));
  flags.add({"json", "", "print JSON, with whole texts"}, boolean(s.json));
  add_text_flags(flags, s.text);
  flags.set_epilogue(
      "index counts lines from 0, over all files. SHEAF_SERVER and SHEAF_API_KEY are\n"
      "--server and --api-key. exit codes: 0 done, 1 failed, 2 wrong usage\n"
      "example: sheaf rerank \"reset a password\" faq.txt --top-n 5 \\\n"
      "           --model cross-encoder/ms-marco-MiniLM-L6-v2\n");
  return flags;
}

Status check(const FlagSet& flags, RerankSettings& s) {
  if (s.words.empty())
    return Error{ErrorCode::invalid_argument,
                 "no query given; try: sheaf rerank \"reset a password\" faq.txt"};
  if (const std::size_t at = find_invalid_utf8(s.words.front()); at != std::string::npos)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("the query is not valid UTF-8, from its byte {} on", at)};
  return check_text_settings(flags, s.text);
}

Status rerank(const RerankSettings& s) {
  SHEAF_ASSIGN(TextSource source, TextSource::open({s.words.begin() + 1, s.words.end()}));
  SHEAF_ASSIGN(const auto embedder,
               open_embedder(s.text, {.prompt_name = s.prompt_name,
                                      .instruction = s.instruction,
                                      .query = std::make_shared<std::string>(s.words.front())}));
  BestDocuments best(s.top_n);
  SHEAF_TRY(answer_lines(
      "rerank", source, *embedder, s.text.batch_size, [&](const EmbeddedBatch& batch) -> Status {
        for (std::size_t i = 0; i < batch.texts.size(); ++i)
          best.add(s.json ? batch.texts[i] : one_line(batch.texts[i], 80), batch.rows[i].front());
        return {};
      }));
  // Ordered before the sigmoid, of which high scores are all 1.
  std::vector<RankedDocument> documents = best.take();
  if (!s.raw_scores)
    for (RankedDocument& document : documents) document.score = api::sigmoid(document.score);
  fmt::print("{}", s.json ? ranking_json(documents) : ranking_table(documents));
  return {};
}

}  // namespace

int rerank_command(Arguments arguments) {
  RerankSettings settings;
  FlagSet flags = flags_for(settings);
  if (const auto done =
          take_client_flags("rerank", flags, arguments, [&] { return check(flags, settings); }))
    return *done;
  std::signal(SIGPIPE, SIG_IGN);  // a replica that went away is an error of one write
  const Status status = rerank(settings);
  return status.ok() ? kExitOk : fail("rerank", status.error());
}

}  // namespace sheaf::cli
