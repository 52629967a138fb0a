#include "cli/text_command.h"

#include <fmt/core.h>

#include <filesystem>

#include "cli/auto_settings.h"
#include "cli/model_files.h"
#include "cli/placing.h"
#include "cli/precision.h"
#include "cli/progress_bar.h"

namespace sheaf::cli {
namespace {

// A folder is on this machine: it is not sent to a server that a variable names for other commands.
bool computes_here(const FlagSet& flags, const TextSettings& s) {
  std::error_code unknown;
  return s.server.empty() ||
         (flags.origin_of("server") == Origin::environment &&
          std::filesystem::is_directory(parse_model_argument(s.model).source, unknown));
}

Status choose_model(TextSettings& s) {
  if (!parse_model_argument(s.model).source.empty()) return {};
  s.model = s.default_model;
  if (!s.model.empty()) return {};
  return Error{ErrorCode::invalid_argument,
               "no model given; name one with --model, or a server with --server"};
}

}  // namespace

void add_model_flags(FlagSet& flags, TextSettings& s, std::string otherwise) {
  flags.add({"model", "MODEL", "folder, hub name or name=folder", "", std::move(otherwise)},
            text(s.model));
  flags.add({"server", "HOST:PORT", "ask this server", "", "compute here"}, text(s.server));
}

void add_text_flags(FlagSet& flags, TextSettings& s) {
  flags.add({"batch-size", "N", "texts a batch"}, whole_number(s.batch_size, 1, 2048));
  flags.add({"max-length", "N", "tokens a text is cut to", "", "the model's"},
            whole_number(s.max_length, 1, 1u << 20));
  flags.add({"dtype", "T", "auto (as measured), float32, ...", ""},
            checked_text(s.dtype, check_dtype));
  flags.add({"device", "D", "cpu, cuda; auto: a card if there is any", ""},
            choice(s.device, {"auto", "cpu", "cuda"}));
  flags.add({"revision", "R", "commit, branch or tag on the hub", "", "main"}, text(s.revision));
  flags.add({"api-key", "K", "key to send to the server", "", "none", true}, text(s.api_key));
  flags.add({"replica-program", "FILE", "sheaf-replica", "", "beside sheaf"},
            text(s.replica_program));
  flags.add({"card-program", "FILE", "sheaf-replica-cuda", "", "beside sheaf-replica"},
            text(s.card_program));
}

Status check_text_settings(const FlagSet& flags, TextSettings& s) {
  if (computes_here(flags, s)) {
    s.server.clear();
    return choose_model(s);
  }
  for (const char* own : {"max-length", "pooling", "dtype", "device", "revision"})
    if (flags.given(own))
      return Error{
          ErrorCode::invalid_argument,
          fmt::format("--{} is the server's own setting; leave it out with {}", own,
                      flags.origin_of("server") == Origin::flag ? "--server" : "SHEAF_SERVER")};
  return {};
}

Result<std::unique_ptr<Embedder>> open_embedder(const TextSettings& s, Question question) {
  if (!s.server.empty()) {
    SHEAF_ASSIGN(const ServerAddress address, parse_server_address(s.server, 8080));
    return make_remote_embedder({address, s.model, s.api_key, std::move(question)});
  }
  ServeSettings serving;  // what computes is chosen as a server would
  serving.device = s.device;
  serving.dtype = s.dtype;
  serving.pooling = s.pooling;
  serving.replica_program = s.replica_program;
  serving.card_program = s.card_program;
  const ModelSetting named = parse_model_argument(s.model);
  SHEAF_ASSIGN(const Computers computers, find_computers(serving));
  SHEAF_ASSIGN(const bool on_card, runs_on_cards(serving, named, computers));
  SHEAF_ASSIGN(const auto found,
               fetch_model(named.source, s.revision, hub::HubOptions::from_environment()));
  SHEAF_ASSIGN(const router::ModelConfig config, model_config(named, serving, found));
  ModelSource source{found.folder, s.pooling};
  SHEAF_ASSIGN(KnownDtype dtype, known_dtype(serving, named, config, computers));
  source.dtype = std::move(dtype.dtype);
  return make_offline_embedder({computers.program_for(on_card), config.name, std::move(source),
                                s.max_length, std::move(question)});
}

Status answer_lines(std::string_view command, TextSource& source, Embedder& embedder,
                    std::uint32_t batch_size,
                    const std::function<Status(const EmbeddedBatch&)>& take) {
  if (source.reads_terminal())
    fmt::print(stderr, "sheaf {}: reading lines from the terminal; end with Ctrl-D\n", command);
  ProgressBar bar(std::string(command), source.total_bytes(), ProgressBar::Unit::bytes);
  std::size_t under_way = 0;
  std::uint64_t cut_texts = 0;
  bool more = true;
  while (true) {
    while (more && under_way < embedder.window()) {
      SHEAF_ASSIGN(TextLines lines, source.next(batch_size));
      more = lines.texts.size() == batch_size;
      if (lines.texts.empty()) break;
      SHEAF_TRY(embedder.submit(std::move(lines)));
      ++under_way;
    }
    if (under_way == 0) break;
    SHEAF_ASSIGN(const EmbeddedBatch batch, embedder.receive());
    --under_way;
    cut_texts += batch.cut_texts;
    SHEAF_TRY(take(batch));
    bar.update(source.read_bytes());
  }
  if (source.broken_lines() > 0)
    fmt::print(stderr, "sheaf {}: not valid UTF-8, read with U+FFFD for broken bytes: {} {}\n",
               command, source.broken_lines(), source.broken_lines() == 1 ? "line" : "lines");
  if (cut_texts > 0)
    fmt::print(stderr, "sheaf {}: cut to the tokens that the model takes: {} {}\n", command,
               cut_texts, cut_texts == 1 ? "line" : "lines");
  return {};
}

}  // namespace sheaf::cli
