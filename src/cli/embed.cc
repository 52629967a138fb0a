#include <fmt/core.h>

#include <csignal>
#include <memory>

#include "cli/client_environment.h"
#include "cli/command.h"
#include "cli/embedder.h"
#include "cli/flag_set.h"
#include "cli/model_files.h"
#include "cli/progress_bar.h"
#include "cli/replica_program.h"
#include "cli/text_source.h"
#include "cli/vector_writer.h"

// `sheaf embed`: lines in, vectors out, as many batches under way as the embedder takes.
namespace sheaf::cli {
namespace {

struct EmbedSettings {
  std::vector<std::string> files;
  std::string model;
  std::string revision;
  std::string server;
  std::string api_key;
  std::string output;
  std::string format = "auto";
  std::uint32_t batch_size = 64;
  std::uint32_t max_length = 0;
  std::string replica_program;
};

constexpr std::string_view kDefaultModel = "sentence-transformers/all-MiniLM-L6-v2";

FlagSet flags_for(EmbedSettings& s) {
  FlagSet flags("sheaf embed [FILE...] [flags]",
                "Vectors of the lines of files, or of standard input.");
  flags.add_positional("FILE", s.files);
  flags.add({"model", "MODEL", "folder or hub name", "", "all-MiniLM-L6-v2"}, text(s.model));
  flags.add({"server", "HOST:PORT", "ask this server", "", "compute here"}, text(s.server));
  flags.add({"output", "FILE", "where vectors go", "", "standard output"}, text(s.output));
  flags.add({"format", "F", "jsonl or npy", "", "by the output's name"},
            choice(s.format, {"auto", "jsonl", "npy"}));
  flags.add({"batch-size", "N", "texts a batch"}, whole_number(s.batch_size, 1, 2048));
  flags.add({"max-length", "N", "tokens a text is cut to", "", "the model's"},
            whole_number(s.max_length, 1, 1u << 20));
  flags.add({"revision", "R", "commit, branch or tag on the hub", "", "main"}, text(s.revision));
  flags.add({"api-key", "K", "key to send to the server", "", "none", true}, text(s.api_key));
  flags.add({"replica-program", "FILE", "sheaf-replica", "", "beside sheaf"},
            text(s.replica_program));
  flags.set_epilogue(
      "JSON lines hold {\"text\", \"embedding\"}; .npy is one float32 array, a row a line.\n"
      "exit codes: 0 done, 1 failed, 2 wrong usage\n"
      "example: sheaf embed notes.txt --output notes.npy\n");
  return flags;
}

Error usage_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
}

Status check(EmbedSettings& s) {
  if (s.format == "auto") s.format = s.output.ends_with(".npy") ? "npy" : "jsonl";
  if (s.format == "npy" && s.output.empty())
    return usage_error("--format npy needs --output FILE: its first bytes are written last");
  if (!s.server.empty() && s.max_length > 0)
    return usage_error("--max-length is the server's own setting; leave it out with --server");
  return {};
}

Result<std::unique_ptr<VectorWriter>> make_writer(const EmbedSettings& s) {
  return s.format == "npy" ? make_npy_writer(s.output) : make_json_lines_writer(s.output);
}

Result<std::unique_ptr<Embedder>> make_embedder(const EmbedSettings& s) {
  if (!s.server.empty()) {
    SHEAF_ASSIGN(const ServerAddress address, parse_server_address(s.server, 8080));
    return make_remote_embedder({address, s.model, s.api_key});
  }
  SHEAF_ASSIGN(const std::string program, find_replica_program(s.replica_program));
  SHEAF_ASSIGN(const auto model, fetch_model(s.model.empty() ? std::string(kDefaultModel) : s.model,
                                             s.revision, hub::HubOptions::from_environment()));
  return make_offline_embedder(program, model.folder, s.max_length);
}

Status embed(const EmbedSettings& settings) {
  SHEAF_ASSIGN(TextSource source, TextSource::open(settings.files));
  SHEAF_ASSIGN(const auto embedder, make_embedder(settings));
  SHEAF_ASSIGN(const auto writer, make_writer(settings));
  ProgressBar bar("embed", source.total_bytes(), ProgressBar::Unit::bytes);
  std::size_t under_way = 0;
  bool more = true;
  while (true) {
    while (more && under_way < embedder->window()) {
      SHEAF_ASSIGN(std::vector<std::string> texts, source.next(settings.batch_size));
      more = texts.size() == settings.batch_size;
      if (texts.empty()) break;
      SHEAF_TRY(embedder->submit(std::move(texts)));
      ++under_way;
    }
    if (under_way == 0) break;
    SHEAF_ASSIGN(const EmbeddedBatch batch, embedder->receive());
    --under_way;
    SHEAF_TRY(writer->write(batch.texts, batch.vectors, batch.dimensions));
    bar.update(source.read_bytes());
  }
  return writer->finish();
}

}  // namespace

int embed_command(Arguments arguments) {
  EmbedSettings settings;
  FlagSet flags = flags_for(settings);
  Status read = flags.take_arguments(arguments);
  if (flags.help_wanted()) {
    fmt::print("{}", flags.help());
    return kExitOk;
  }
  flags.take_environment(client_environment);
  if (read.ok()) read = flags.apply();
  if (read.ok()) read = check(settings);
  if (!read.ok()) return fail("embed", read.error(), kExitUsage);
  std::signal(SIGPIPE, SIG_IGN);  // a replica or reader that went away is an error of one write
  const Status status = embed(settings);
  return status.ok() ? kExitOk : fail("embed", status.error());
}

}  // namespace sheaf::cli
