#include "replica/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string_view>
#include <thread>

#include "base/log.h"
#include "base/text.h"
#include "channel/layout.h"
#include "channel/offline.h"
#include "channel/replica_end.h"
#include "engine/pack.h"
#include "kernels/profile.h"
#include "kernels/ranks/shared_communicator.h"
#include "kernels/shared_copy.h"
#include "model/spec/product_dtype.h"
#include "model/spec/spec.h"
#include "replica/flags.h"
#include "replica/loop.h"
#include "replica/ranks.h"
#include "replica/runner.h"

namespace sheaf::replica {
namespace {

constexpr std::string_view kUsage =
    "usage: sheaf-replica MODE [--flag value]...\n"
    "\n"
    "One running copy of a model. Started by `sheaf`; the modes are:\n"
    "  run       --channel FD --event FD --weights FD --control FD [--card-weights FD]\n"
    "            [--cores 0,1] [--threads N] [--streams N] [--group FD --rank R --ranks N]\n"
    "            serve batches until the control socket closes, or be one rank of those that do\n"
    "  pack      --model FOLDER --weights FD [--control FD] [--pooling P] [--dtype T]\n"
    "            [--rank R --ranks N] [--stage I --stages N --first-layer L --layers N]\n"
    "            write the weights, packed for this machine, into an empty file; or those of a\n"
    "            rank, or of a stage\n"
    "  embed     --model FOLDER [--cores 0,1] [--threads N] [--pooling P] [--dtype T]\n"
    "            [--seconds-max N]\n"
    "            token ids on standard input to vectors on standard output, binary\n"
    "  describe  --model FOLDER [--pooling P]\n"
    "            the model's shape as JSON\n"
    "  dtypes    what this processor, or card, can compute in, and how, as JSON\n"
    "  devices   the cards that sheaf-replica-cuda can use, as JSON, or why it can use none\n"
    "  estimate  --model FOLDER [--max-batch-tokens N] [--threads N] [--pooling P] [--dtype T]\n"
    "            [--streams N] [--rank R --ranks N]\n"
    "            [--stage I --stages N --first-layer L --layers N]\n"
    "            the model's memory as JSON\n"
    "  parts     --model FOLDER [--pooling P] [--dtype T]\n"
    "            what its words, each of its layers and its heads take as JSON\n"
    "\n"
    "T is float32, bfloat16, float16, int8, fp8, or fp8:0,2-4, which is fp8 in the feed-forward\n"
    "parts of these layers, of the whole model's, and bfloat16 in the others.\n"
    "\n"
    "With SHEAF_PROFILE=1 in the environment run and embed show at their end, on standard\n"
    "error, what time each operation of the model took.\n";

// One JSON line on the control socket, with a descriptor where there is one. A router that is gone
// is noticed by the watcher.
void say(int control, std::string line, int descriptor = -1) {
  iovec bytes = {line.data(), line.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof descriptor)> room = {};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    message.msg_control = room.data();
    message.msg_controllen = room.size();
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof descriptor);
    std::memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
  }
  [[maybe_unused]] const auto sent = ::sendmsg(control, &message, MSG_NOSIGNAL);
}

void say_error(int control, const Error& error) {
  say(control, fmt::format("{{\"error\": {}}}\n", json_quote(error.message)));
}

// The router's end of the control socket lives exactly as long as the router wants this process.
// A thread of its own waits for its closing, so that neither a long batch nor a kernel that spins
// forever keeps the process alive.
void exit_when_closed(int control, std::shared_ptr<const kernels::Profile> profile = nullptr) {
  std::thread([control, profile = std::move(profile)] {
    char byte;
    for (;;) {
      const ssize_t got = ::read(control, &byte, 1);
      if (got > 0 || (got < 0 && errno == EINTR)) continue;
      kernels::print_profile(profile.get());
      ::_exit(0);
    }
  }).detach();
}

// Of a process without a control socket: nobody reads its answers any more.
void end_with_parent() {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() == 1) ::_exit(1);  // gone already
}

// Before any other thread exists: they inherit it.
Status pin_to(std::span<const int> cores) {
  if (cores.empty()) return {};
  const int count = cores.back() >= CPU_SETSIZE ? cores.back() + 1 : CPU_SETSIZE;
  cpu_set_t* set = CPU_ALLOC(count);
  const std::size_t bytes = CPU_ALLOC_SIZE(count);
  CPU_ZERO_S(bytes, set);
  for (const int core : cores) CPU_SET_S(core, bytes, set);
  const int failed = ::sched_setaffinity(0, bytes, set);
  const int error = errno;
  CPU_FREE(set);
  if (failed != 0) return errno_error("running on the slice's cores", error);
  return {};
}

int usable_cores() {
  const unsigned count = std::thread::hardware_concurrency();  // respects the affinity mask
  return count == 0 ? 1 : static_cast<int>(count);
}

// When memory runs out the kernel should take a replica, which can be replaced, and not the
// router. Raising the score needs no privilege; where it fails nothing is lost.
void volunteer_for_oom() {
  if (std::FILE* file = std::fopen("/proc/self/oom_score_adj", "w")) {
    std::fputs("500", file);
    std::fclose(file);
  }
}

struct EngineFlags {
  std::vector<int> cores;
  int threads = 1;
};

Result<EngineFlags> engine_flags(const Flags& flags) {
  EngineFlags engine;
  SHEAF_ASSIGN(engine.cores, flags.numbers("cores"));
  const int cores = engine.cores.empty() ? usable_cores() : static_cast<int>(engine.cores.size());
  SHEAF_ASSIGN(engine.threads, flags.number_or("threads", cores));
  return engine;
}

Result<std::unique_ptr<engine::Engine>> open_engine(const Backend& backend, int weights_fd,
                                                    engine::EngineOptions options) {
  SHEAF_ASSIGN(const std::size_t bytes, file_size(weights_fd));
  SHEAF_ASSIGN(Mapping packed, Mapping::map(weights_fd, bytes, Mapping::Access::read_only));
  return backend.open(std::move(packed), options);
}

Result<model::Shard> shard_of(const Flags& flags) {
  model::Shard shard;
  const auto read = [&flags](std::string_view name, std::uint32_t& number) -> Status {
    SHEAF_ASSIGN(const int given, flags.number_or(name, static_cast<int>(number)));
    number = static_cast<std::uint32_t>(given);
    return {};
  };
  SHEAF_TRY(read("rank", shard.rank));
  SHEAF_TRY(read("ranks", shard.ranks));
  SHEAF_TRY(read("stage", shard.stage.index));
  SHEAF_TRY(read("stages", shard.stage.count));
  SHEAF_TRY(read("first-layer", shard.stage.first_layer));
  SHEAF_TRY(read("layers", shard.stage.layers));
  return shard;
}

// The processes that this is one of; null: it is the whole replica. `progress` is what all of them
// raise.
Result<std::unique_ptr<kernels::Communicator>> join_group(
    const Flags& flags, const std::atomic<std::uint64_t>& progress) {
  SHEAF_ASSIGN(const int fd, flags.number_or("group", -1));
  if (fd < 0) return std::unique_ptr<kernels::Communicator>();
  SHEAF_ASSIGN(const int rank, flags.number("rank"));
  SHEAF_ASSIGN(const int number, flags.number("ranks"));
  const auto ranks = static_cast<std::size_t>(number);
  const std::size_t bytes = kernels::shared_group_bytes(ranks);
  // Empty at first; whoever comes later finds it as long as it is to be.
  if (::ftruncate(fd, static_cast<off_t>(bytes)) != 0)
    return errno_error("sizing what ranks share", errno);
  SHEAF_ASSIGN(Mapping memory, Mapping::map(fd, bytes, Mapping::Access::read_write));
  return kernels::join_shared_group(std::move(memory), static_cast<std::size_t>(rank),
                                    {.ranks = ranks, .progress = &progress});
}

// Of a process that serves.
int exit_code_of(const Error& error) {
  if (error.code == ErrorCode::too_large) return channel::kExitWithoutRoom;
  return error.code == ErrorCode::unavailable ? channel::kExitAfterAnother : 1;
}

std::string ready_line(const engine::Engine& engine, const channel::Limits& limits,
                       std::size_t lanes) {
  return fmt::format(
      "{{\"device\": {}, \"dtype\": {}, \"max_batch_tokens\": {}, \"max_batch_items\": {}, "
      "\"lanes\": {}}}\n",
      json_quote(engine.device()), json_quote(engine.dtype()), limits.max_batch_tokens,
      limits.max_batch_items, lanes);
}

// How many batches are computed at once, each by an engine and on a stream of its own.
Result<int> streams_of(const Flags& flags) {
  SHEAF_ASSIGN(const int streams, flags.number_or("streams", 1));
  if (streams >= 1 && streams <= channel::kLanesMax) return streams;
  return Error{ErrorCode::invalid_argument,
               fmt::format("--streams {}: is not from 1 to {}", streams, channel::kLanesMax)};
}

void warn_of_copies(const kernels::SharedCopy& copy) {
  if (!copy.trouble.empty())
    log(LogLevel::warn, "{}: {}",
        copy.made ? "the weights are copied to the card once more"
                  : "the weights on the card are this replica's alone",
        copy.trouble);
}

// A descriptor of the copy that the first engine maps; none: it has its weights where they are.
Result<std::unique_ptr<kernels::SharedCopy>> another_mapping(const kernels::SharedCopy& first) {
  auto copy = std::make_unique<kernels::SharedCopy>();
  const Fd& there = first.made ? first.made : first.given;
  if (!there) return copy;
  copy->given = Fd(::fcntl(there.get(), F_DUPFD_CLOEXEC, 0));
  if (!copy->given) return errno_error("mapping the weights on the card once more", errno);
  return copy;
}

// Those after the first map the copy of the weights that it has on its card. Where it could not
// share it there is no other: each would bring its own.
Result<std::vector<EngineLane>> open_lanes(const Backend& backend, int weights_fd, int streams,
                                           const engine::EngineOptions& options) {
  const kernels::SharedCopy& first = *options.weights_copy;
  std::vector<EngineLane> lanes;
  for (int i = 0; i < streams; ++i) {
    EngineLane lane{.progress = std::make_unique<std::atomic<std::uint64_t>>(0)};
    engine::EngineOptions its = options;
    its.progress = lane.progress.get();
    its.lanes = streams;
    if (i > 0) {
      SHEAF_ASSIGN(lane.copy, another_mapping(first));
      its.weights_copy = lane.copy.get();
    }
    SHEAF_ASSIGN(lane.engine, open_engine(backend, weights_fd, its));
    if (i > 0 && !lane.copy->trouble.empty()) {
      log(LogLevel::warn, "there are {} streams: {}", i, lane.copy->trouble);
      break;
    }
    if (i == 0) warn_of_copies(first);
    if (i > 0) lane.copy->given.reset();  // it is mapped
    lanes.push_back(std::move(lane));
    if (!first.trouble.empty() && !first.made && !first.given) break;
  }
  return lanes;
}

Status check_limits(const channel::Limits& carries, const model::ModelSpec& spec) {
  const channel::Limits gives = limits_of(spec);
  if (gives.row_floats == carries.row_floats && gives.sparse_terms == carries.sparse_terms &&
      gives.token_floats == carries.token_floats)
    return {};
  return Error{ErrorCode::invalid_argument,
               fmt::format("the channel carries vectors of {}, {} terms, vectors of tokens of {}; "
                           "the model gives {}, {}, {}",
                           carries.row_floats, carries.sparse_terms, carries.token_floats,
                           gives.row_floats, gives.sparse_terms, gives.token_floats)};
}

// Says that it is ready, with the copy of the weights that it made, if any.
void say_ready(int control, const engine::Engine& engine, const channel::Limits& limits,
               std::size_t lanes, kernels::SharedCopy& copy) {
  say(control, ready_line(engine, limits, lanes), copy.made.get());
  copy.made.reset();
  copy.given.reset();  // it is mapped
}

// Where the device fails in one of them the process ends at once: the others may take long.
Status run_lanes(int control, channel::ReplicaEnd& channel, Result<std::vector<EngineLane>> opened,
                 kernels::SharedCopy& copy) {
  SHEAF_ASSIGN(const std::vector<EngineLane> lanes, std::move(opened));
  const engine::Engine& first = *lanes.front().engine;
  SHEAF_TRY(check_limits(channel.limits(), first.spec()));
  say_ready(control, first, channel.limits(), lanes.size(), copy);
  return serve(channel, lanes, [control](const Error& error) {
    say_error(control, error);
    fmt::print(stderr, "{} run: {}\n", program_invocation_short_name, error.message);
    ::_exit(exit_code_of(error));
  });
}

Status run_on(const Flags& flags, int control, const Backend& backend, kernels::Profile* profile) {
  SHEAF_ASSIGN(const EngineFlags where, engine_flags(flags));
  SHEAF_ASSIGN(const int streams, streams_of(flags));
  SHEAF_TRY(pin_to(where.cores));
  volunteer_for_oom();
  SHEAF_ASSIGN(const int channel_fd, flags.number("channel"));
  SHEAF_ASSIGN(const int event_fd, flags.number("event"));
  SHEAF_ASSIGN(const int weights_fd, flags.number("weights"));

  SHEAF_ASSIGN(auto channel, channel::ReplicaEnd::open(channel_fd, Fd(event_fd)));
  SHEAF_ASSIGN(const int card_weights_fd, flags.number_or("card-weights", -1));
  kernels::SharedCopy weights_copy{.given = Fd(card_weights_fd)};
  SHEAF_ASSIGN(const auto group, join_group(flags, channel.progress()));
  if (group && streams > 1)
    return Error{ErrorCode::unsupported, "a replica of several processes has one stream"};
  const engine::EngineOptions options{.threads = where.threads,
                                      .progress = &channel.progress(),
                                      .profile = profile,
                                      .communicator = group.get(),
                                      .weights_copy = &weights_copy};
  if (streams > 1)
    return run_lanes(control, channel, open_lanes(backend, weights_fd, streams, options),
                     weights_copy);
  SHEAF_ASSIGN(auto engine, open_engine(backend, weights_fd, options));
  warn_of_copies(weights_copy);
  if (group && group->rank() > 0) {
    if (weights_copy.made) say(control, "{}\n", weights_copy.made.get());
    weights_copy.made.reset();
    weights_copy.given.reset();
    SHEAF_TRY(group->meet());
    return follow(*engine, *group);
  }
  if (group) {
    SHEAF_TRY(group->meet());  // who is ready is so with all others
    engine = make_first_rank(std::move(engine), *group);
  }
  SHEAF_TRY(check_limits(channel.limits(), engine->spec()));
  say_ready(control, *engine, channel.limits(), 1, weights_copy);
  return serve(channel, *engine);
}

Status run(const Flags& flags, const Backend& backend) {
  SHEAF_ASSIGN(const int control, flags.number("control"));
  const auto profile = kernels::profile_if_asked();
  exit_when_closed(control, profile);
  const Status status = run_on(flags, control, backend, profile.get());
  if (!status.ok()) say_error(control, status.error());
  return status;
}

Result<engine::Source> source_of(const Flags& flags) {
  engine::Source source;
  SHEAF_ASSIGN(source.folder, flags.text("model"));
  source.pooling = flags.text_or("pooling", "");
  const std::string text = flags.text_or("dtype", std::string(name_of(source.dtype)));
  auto named = model::parse_product_dtype(text);
  if (!named.ok())
    return Error{named.error().code, fmt::format("--dtype: {}", named.error().message)};
  const auto dtype = tensor::dtype_of(named->name);
  if (!dtype)
    return Error{ErrorCode::invalid_argument,
                 fmt::format("--dtype {}: is not float32, bfloat16, float16, int8 or fp8", text)};
  source.dtype = *dtype;
  source.fp8_layers = std::move(named->fp8_layers);
  SHEAF_ASSIGN(source.shard, shard_of(flags));
  return source;
}

Status pack(const Flags& flags, const Backend& backend) {
  SHEAF_ASSIGN(const engine::Source source, source_of(flags));
  SHEAF_ASSIGN(const int weights_fd, flags.number("weights"));
  SHEAF_ASSIGN(const int control, flags.number_or("control", -1));
  if (control >= 0) exit_when_closed(control);
  const Status status = backend.pack(source, weights_fd);
  if (!status.ok() && control >= 0) say_error(control, status.error());
  return status;
}

Result<std::unique_ptr<engine::Engine>> open_source(const Backend& backend,
                                                    const engine::Source& source,
                                                    engine::EngineOptions options) {
  SHEAF_ASSIGN(const Fd weights, make_memfd("sheaf-weights", 0));
  SHEAF_TRY(backend.pack(source, weights.get()));
  return open_engine(backend, weights.get(), options);
}

Status embed(const Flags& flags, const Backend& backend) {
  SHEAF_ASSIGN(const engine::Source source, source_of(flags));
  SHEAF_ASSIGN(const EngineFlags where, engine_flags(flags));
  SHEAF_ASSIGN(const int seconds_max, flags.number_or("seconds-max", 0));
  end_with_parent();
  ::alarm(static_cast<unsigned>(seconds_max));  // whose signal ends the process; 0: none
  SHEAF_TRY(pin_to(where.cores));
  const auto profile = kernels::profile_if_asked();
  SHEAF_ASSIGN(const auto engine,
               open_source(backend, source, {where.threads, nullptr, profile.get()}));
  Runner runner(*engine);
  const channel::Limits limits = limits_of(engine->spec());
  SHEAF_TRY(channel::write_offline_hello(STDOUT_FILENO, limits));
  for (;;) {
    SHEAF_ASSIGN(const auto batch, channel::read_offline_batch(STDIN_FILENO, limits));
    if (!batch) break;
    const auto output = runner.run(*batch);
    SHEAF_TRY(output.ok()
                  ? channel::write_offline_reply(STDOUT_FILENO, output->compute_us,
                                                 output->rows.floats(), output->rows.values())
                  : channel::write_offline_failure(STDOUT_FILENO, output.error()));
  }
  kernels::print_profile(profile.get());
  return {};
}

Status describe(const Flags& flags) {
  SHEAF_ASSIGN(const std::string folder, flags.text("model"));
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(folder, flags.text_or("pooling", "")));
  nlohmann::ordered_json pooling = nlohmann::ordered_json::array();
  for (const auto kind : spec.pooling) pooling.push_back(model::name_of(kind));
  const nlohmann::ordered_json out = {
      {"architecture", model::name_of(spec.architecture)},
      {"model_type", spec.model_type},
      {"dimensions", spec.dimensions},
      {"max_length", spec.max_length},
      {"hidden_size", spec.hidden_size},
      {"layers", spec.layers},
      {"heads", spec.heads},
      {"intermediate_size", spec.intermediate_size},
      {"vocab_size", spec.vocab_size},
      {"positions", spec.positions},
      {"pooling", pooling},
      {"normalize", spec.normalize},
      {"weights_dtype", spec.weights_dtype},
      {"parameter_count", spec.parameter_count},
      {"weights_bytes_fp32", spec.weights_bytes_fp32},
  };
  fmt::print("{}\n", out.dump());
  return {};
}

// Private memory of this process: near what a replica holds that has no model yet.
std::uint64_t anonymous_bytes() {
  std::ifstream lines("/proc/self/smaps_rollup");
  constexpr std::string_view kField = "Anonymous:";
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(kField)) return std::stoull(line.substr(kField.size())) << 10;
  return 0;
}

// malloc gives back the end of its heap once more than 128 KiB of it are free: between nothing and
// that is kept.
constexpr std::uint64_t kMallocKeeps = 64 << 10;

nlohmann::ordered_json json_of(const engine::Footprint::OnCard& card) {
  return {{"weights_bytes", card.weights_bytes},
          {"streams", card.streams},
          {"working_set_bytes", card.working_set_bytes},
          {"workspace_bytes", card.workspace_bytes},
          {"context_bytes", card.context_bytes},
          {"added_replica_bytes", card.added_replica_bytes()},
          {"total_bytes", card.total_bytes()},
          {"assumed", {"context_bytes"}}};
}

Status print_estimate(const Flags& flags, const Backend& backend) {
  const std::uint64_t process_bytes = anonymous_bytes();
  SHEAF_ASSIGN(const engine::Source source, source_of(flags));
  SHEAF_ASSIGN(const int threads, flags.number_or("threads", usable_cores()));
  SHEAF_ASSIGN(
      const int tokens,
      flags.number_or("max-batch-tokens", static_cast<int>(channel::Limits().max_batch_tokens)));
  SHEAF_ASSIGN(const model::ModelSpec spec, model::read_spec(source.folder, source.pooling));
  SHEAF_ASSIGN(const channel::Geometry channel, channel::geometry_of(limits_of(spec)));
  SHEAF_ASSIGN(engine::Footprint footprint,
               backend.footprint(source, static_cast<std::uint32_t>(tokens), threads));
  SHEAF_ASSIGN(const int streams, streams_of(flags));
  if (footprint.on_card) footprint.on_card->streams = static_cast<std::uint32_t>(streams);
  nlohmann::ordered_json out = {
      {"weights_bytes", footprint.weights_bytes},
      {"replica_bytes", process_bytes + kMallocKeeps +
                            static_cast<std::uint64_t>(streams) * footprint.working_set_bytes +
                            channel.total_bytes},
      {"max_batch_tokens", tokens}};
  if (footprint.on_card) out["card"] = json_of(*footprint.on_card);
  fmt::print("{}\n", out.dump());
  return {};
}

Status print_parts(const Flags& flags) {
  SHEAF_ASSIGN(const engine::Source source, source_of(flags));
  SHEAF_ASSIGN(const model::PartBytes parts, engine::part_bytes(source));
  const nlohmann::ordered_json out = {
      {"words_bytes", parts.words}, {"layer_bytes", parts.layers}, {"heads_bytes", parts.heads}};
  fmt::print("{}\n", out.dump());
  return {};
}

Status print_dtypes(const Backend& backend) {
  nlohmann::ordered_json names = nlohmann::ordered_json::object();
  for (const tensor::Dtype dtype : tensor::kDtypes)
    if (const std::string name = backend.backend_name(dtype); !name.empty())
      names[std::string(name_of(dtype))] = name;
  fmt::print("{}\n", names.dump());
  return {};
}

std::string capability_text(int capability) {
  return fmt::format("{}.{}", capability / 10, capability % 10);
}

bool has_code_for(const CardReport& report, const Card& card) {
  return report.compute_capabilities.empty() ||
         std::ranges::find(report.compute_capabilities, card.compute_capability) !=
             report.compute_capabilities.end();
}

// Error where it has code for none of the cards.
Status check_cards(const CardReport& report) {
  if (std::ranges::any_of(report.cards,
                          [&](const Card& card) { return has_code_for(report, card); }))
    return {};
  std::vector<std::string> cards, capabilities;
  for (const Card& card : report.cards)
    cards.push_back(fmt::format("{} (compute capability {})", card.name,
                                capability_text(card.compute_capability)));
  for (const int one : report.compute_capabilities) capabilities.push_back(capability_text(one));
  return Error{ErrorCode::unsupported,
               fmt::format("this build has code for compute capability {} alone, and none for {}",
                           fmt::join(capabilities, ", "), fmt::join(cards, ", "))};
}

Status print_devices(const Backend& backend) {
  if (!backend.cards)
    return Error{ErrorCode::unsupported,
                 "this program computes on the processor; sheaf-replica-cuda does on cards"};
  SHEAF_ASSIGN(const CardReport report, backend.cards());
  SHEAF_TRY(check_cards(report));
  nlohmann::ordered_json out = {{"dtypes", nlohmann::ordered_json::array()},
                                {"compute_capabilities", report.compute_capabilities},
                                {"cards", nlohmann::ordered_json::array()}};
  for (const tensor::Dtype dtype : tensor::kDtypes)
    if (!backend.backend_name(dtype).empty()) out["dtypes"].push_back(name_of(dtype));
  if (!report.sums_by.empty()) out["sums_by"] = report.sums_by;
  if (!report.no_sums_because.empty()) out["no_sums_because"] = report.no_sums_because;
  for (const Card& card : report.cards)
    out["cards"].push_back({{"name", card.name},
                            {"uuid", card.uuid},
                            {"compute_capability", card.compute_capability},
                            {"memory_bytes", card.memory_bytes},
                            {"usable", has_code_for(report, card)}});
  fmt::print("{}\n", out.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  return {};
}

// A failure is said as JSON too, for the program that asks.
Status say_failure(Status status) {
  if (!status.ok()) fmt::print("{{\"error\": {}}}\n", json_quote(status.error().message));
  return status;
}

Status run_mode(std::string_view mode, const Flags& flags, const Backend& backend) {
  if (mode == "run") return run(flags, backend);
  if (mode == "pack") return pack(flags, backend);
  if (mode == "embed") return embed(flags, backend);
  if (mode == "describe") return describe(flags);
  if (mode == "dtypes") return print_dtypes(backend);
  if (mode == "devices") return say_failure(print_devices(backend));
  if (mode == "parts") return say_failure(print_parts(flags));
  return say_failure(print_estimate(flags, backend));
}

std::optional<std::vector<std::string_view>> flags_of(std::string_view mode) {
  using Names = std::vector<std::string_view>;
  if (mode == "run")
    return Names{"channel", "event",   "weights", "control", "card-weights", "cores",
                 "threads", "streams", "group",   "rank",    "ranks"};
  if (mode == "pack")
    return Names{"model", "pooling", "dtype",  "weights",     "control", "rank",
                 "ranks", "stage",   "stages", "first-layer", "layers"};
  if (mode == "embed") return Names{"model", "pooling", "dtype", "cores", "threads", "seconds-max"};
  if (mode == "describe") return Names{"model", "pooling"};
  if (mode == "dtypes" || mode == "devices") return Names{};
  if (mode == "estimate")
    return Names{"model", "pooling", "dtype", "max-batch-tokens", "threads",     "streams",
                 "rank",  "ranks",   "stage", "stages",           "first-layer", "layers"};
  if (mode == "parts") return Names{"model", "pooling", "dtype"};
  return std::nullopt;
}

}  // namespace

int run_program(int argc, char** argv, const Backend& backend) {
  const std::string program = std::filesystem::path(argv[0]).filename();
  const std::string_view mode = argc > 1 ? argv[1] : "";
  if (mode == "--help" || mode == "-h" || mode == "help") {
    fmt::print("{}", kUsage);
    return 0;
  }
  auto known = flags_of(mode);
  if (!known) {
    fmt::print(stderr, "{}: unknown mode '{}'\n{}", program, mode, kUsage);
    return 2;
  }
  const auto flags = Flags::parse(argc - 2, argv + 2, *std::move(known));
  if (!flags.ok()) {
    fmt::print(stderr, "{} {}: {}\n", program, mode, flags.error().message);
    return 2;
  }
  const Status status = run_mode(mode, *flags, backend);
  if (status.ok()) return 0;
  fmt::print(stderr, "{} {}: {}\n", program, mode, status.error().message);
  return mode == "run" ? exit_code_of(status.error()) : 1;
}

}  // namespace sheaf::replica
