#include <fmt/core.h>

#include <csignal>
#include <filesystem>
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
  std::string prompt_name;
  std::string replica_program;
};

constexpr std::string_view kDefaultModel = "sentence-transformers/all-MiniLM-L6-v2";

FlagSet flags_for(EmbedSettings& s) {
  FlagSet flags("sheaf embed [FILE...] [flags]",
                "Vectors of the lines of files, or of standard input.");
  flags.add_positional("FILE", s.files);
  flags.add({"model", "MODEL", "folder, hub name or name=folder", "", "all-MiniLM-L6-v2"},
            text(s.model));
  flags.add({"server", "HOST:PORT", "ask this server", "", "compute here"}, text(s.server));
  flags.add({"output", "FILE", "where vectors go", "", "standard output"}, text(s.output));
  flags.add({"format", "F", "jsonl or npy", "", "by the output's name"},
            choice(s.format, {"auto", "jsonl", "npy"}));
  flags.add({"batch-size", "N", "texts a batch"}, whole_number(s.batch_size, 1, 2048));
  flags.add({"max-length", "N", "tokens a text is cut to", "", "the model's"},
            whole_number(s.max_length, 1, 1u << 20));
  flags.add({"prompt-name", "P", "prompt to put before", "", "the model's"}, text(s.prompt_name));
  flags.add({"revision", "R", "commit, branch or tag on the hub", "", "main"}, text(s.revision));
  flags.add({"api-key", "K", "key to send to the server", "", "none", true}, text(s.api_key));
  flags.add({"replica-program", "FILE", "sheaf-replica", "", "beside sheaf"},
            text(s.replica_program));
  flags.set_epilogue(
      "JSON lines hold {\"text\", \"embedding\"}; .npy is one float32 array, a row a line.\n"
      "SHEAF_SERVER and SHEAF_API_KEY are --server and --api-key.\n"
      "exit codes: 0 done, 1 failed, 2 wrong usage\n"
      "example: sheaf embed notes.txt --output notes.npy\n");
  return flags;
}

Error usage_error(std::string message) {
  return Error{ErrorCode::invalid_argument, std::move(message)};
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

// A folder is on this machine: it is not sent to a server that a variable names for other commands.
bool computes_here(const FlagSet& flags, const EmbedSettings& s) {
  std::error_code unknown;
  return s.server.empty() ||
         (flags.origin_of("server") == Origin::environment &&
          std::filesystem::is_directory(parse_model_argument(s.model).source, unknown));
}

Status check(const FlagSet& flags, EmbedSettings& s) {
  if (s.format == "auto") {
    SHEAF_ASSIGN(s.format, format_of(s.output));
  }
  if (s.format == "npy" && s.output.empty())
    return usage_error("--format npy needs --output FILE: its first bytes are written last");
  if (computes_here(flags, s)) {
    s.server.clear();
    return {};
  }
  for (const char* own : {"max-length", "revision"})
    if (flags.given(own))
      return usage_error(
          fmt::format("--{} is the server's own setting; leave it out with {}", own,
                      flags.origin_of("server") == Origin::flag ? "--server" : "SHEAF_SERVER"));
  return {};
}

Result<std::unique_ptr<VectorWriter>> make_writer(const EmbedSettings& s) {
  return s.format == "npy" ? make_npy_writer(s.output) : make_json_lines_writer(s.output);
}

Result<std::unique_ptr<Embedder>> make_embedder(const EmbedSettings& s) {
  if (!s.server.empty()) {
    SHEAF_ASSIGN(const ServerAddress address, parse_server_address(s.server, 8080));
    return make_remote_embedder({address, s.model, s.api_key, s.prompt_name});
  }
  SHEAF_ASSIGN(const std::string program, find_replica_program(s.replica_program));
  const std::string source = parse_model_argument(s.model).source;
  SHEAF_ASSIGN(const auto model, fetch_model(source.empty() ? std::string(kDefaultModel) : source,
                                             s.revision, hub::HubOptions::from_environment()));
  return make_offline_embedder({program, model.folder, s.max_length, s.prompt_name});
}

Status embed_all(TextSource& source, Embedder& embedder, VectorWriter& writer,
                 std::uint32_t batch_size) {
  ProgressBar bar("embed", source.total_bytes(), ProgressBar::Unit::bytes);
  std::size_t under_way = 0;
  bool more = true;
  while (true) {
    while (more && under_way < embedder.window()) {
      SHEAF_ASSIGN(std::vector<std::string> texts, source.next(batch_size));
      more = texts.size() == batch_size;
      if (texts.empty()) break;
      SHEAF_TRY(embedder.submit(std::move(texts)));
      ++under_way;
    }
    if (under_way == 0) return writer.finish();
    SHEAF_ASSIGN(const EmbeddedBatch batch, embedder.receive());
    --under_way;
    SHEAF_TRY(writer.write(batch.texts, batch.vectors, batch.dimensions));
    bar.update(source.read_bytes());
  }
}

Status embed(const EmbedSettings& settings) {
  SHEAF_ASSIGN(TextSource source, TextSource::open(settings.files));
  SHEAF_ASSIGN(const auto embedder, make_embedder(settings));
  SHEAF_ASSIGN(const auto writer, make_writer(settings));
  SHEAF_TRY(embed_all(source, *embedder, *writer, settings.batch_size));
  if (source.broken_lines() > 0)
    fmt::print(stderr, "sheaf embed: not valid UTF-8, read with U+FFFD for broken bytes: {} {}\n",
               source.broken_lines(), source.broken_lines() == 1 ? "line" : "lines");
  return {};
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
  if (read.ok()) read = check(flags, settings);
  if (!read.ok()) return fail("embed", read.error(), kExitUsage);
  std::signal(SIGPIPE, SIG_IGN);  // a replica or reader that went away is an error of one write
  const Status status = embed(settings);
  return status.ok() ? kExitOk : fail("embed", status.error());
}

}  // namespace sheaf::cli
