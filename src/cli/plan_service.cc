#include "cli/plan_service.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "api/json_fault.h"
#include "base/text.h"
#include "cli/flag_value.h"
#include "cli/plan_model.h"
#include "cli/plan_question.h"
#include "cli/serve_settings.h"
#include "hub/hub.h"

namespace sheaf::cli {
namespace {

using nlohmann::ordered_json;
constexpr const char* kBody = "body";  // what errors call it
constexpr std::uint64_t kCountMax = 64;

Error bad_field(std::string message) { return {ErrorCode::invalid_argument, std::move(message)}; }

// Takes `key` out of the object, so that what remains is a configuration.
std::optional<ordered_json> take(ordered_json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  ordered_json value = std::move(*found);
  object.erase(found);
  return value.is_null() ? std::nullopt : std::optional(std::move(value));
}

Status take_text(ordered_json& object, const char* key, std::string& text) {
  const auto value = take(object, key);
  if (!value) return {};
  if (value->is_number_unsigned())
    text = value->dump();  // cores: 8
  else if (value->is_string())
    text = value->get<std::string>();
  else
    return bad_field(fmt::format("{} is not a text", key));
  return {};
}

Status take_number(ordered_json& object, const char* key, std::uint64_t max, std::uint64_t& out) {
  const auto value = take(object, key);
  if (!value) return {};
  if (!value->is_number_unsigned() || value->get<std::uint64_t>() < 1 ||
      value->get<std::uint64_t>() > max)
    return bad_field(fmt::format("{} is not a whole number from 1 to {}", key, max));
  out = value->get<std::uint64_t>();
  return {};
}

Result<PlanQuestion> take_question(ordered_json& object) {
  PlanQuestion question;
  SHEAF_TRY(take_text(object, "gpu", question.gpu));
  SHEAF_TRY(take_text(object, "cores", question.cores));
  SHEAF_TRY(take_text(object, "dtype", question.dtype));
  if (!question.dtype.empty()) SHEAF_TRY(load_in(question.dtype));
  std::uint64_t count = 0;
  SHEAF_TRY(take_number(object, "count", kCountMax, count));
  question.count = static_cast<std::uint32_t>(count);
  SHEAF_TRY(take_number(object, "memory_bytes", 1ull << 50, question.memory_bytes));
  if (const auto share = take(object, "gpu_memory_utilization")) {
    if (!share->is_number() || share->get<double>() <= 0 || share->get<double>() > 1)
      return bad_field("gpu_memory_utilization is not a number above 0, up to 1");
    question.memory_utilization = share->get<double>();
  }
  SHEAF_TRY(check_plan_question(question, ""));
  return question;
}

// What the configuration's reader would not know, it cannot take for a field of the question.
Status check_misspelt(const ordered_json& rest, const std::vector<std::string>& config_keys) {
  constexpr std::string_view kFields[] = {"gpu",   "cores",        "dtype",
                                          "count", "memory_bytes", "gpu_memory_utilization"};
  for (const auto& item : rest.items()) {
    const std::string& key = item.key();
    const bool known = key == "models" || std::ranges::any_of(config_keys, [&](const auto& name) {
                         return name == key || name.starts_with(key + ".");
                       });
    const std::string_view near = nearest_word(key, kFields);
    if (!known && !near.empty())
      return bad_field(fmt::format("unknown field '{}'; did you mean '{}'?", key, near));
  }
  return {};
}

// What the question says of all models is in no file that the server would read.
void add_flags(const FlagSet& flags, std::vector<std::string>& arguments) {
  for (const char* name : {"max-length", "max-batch-tokens", "streams"})
    if (const auto value = flags.given(name))
      arguments.insert(arguments.end(), {fmt::format("--{}", name), *value});
}

}  // namespace

PlanService::PlanService(std::map<std::string, std::string> folders)
    : folders_(std::move(folders)), thread_([this] { run(); }) {}

PlanService::~PlanService() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void PlanService::ask(std::string question, Done done) {
  {
    const std::lock_guard lock(mutex_);
    if (!std::exchange(busy_, true)) {
      job_ = Job{std::move(question), std::move(done)};
      changed_.notify_all();
      return;
    }
  }
  done(Error{ErrorCode::overloaded, "another plan is being made; ask again in a second"});
}

void PlanService::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return job_ || stopping_; });
    if (!job_) return;
    const Job job = *std::exchange(job_, std::nullopt);
    lock.unlock();
    Result<std::string> answered = answer(job.question);
    lock.lock();
    busy_ = false;
    lock.unlock();
    job.done(std::move(answered));
    lock.lock();
  }
}

Result<std::string> PlanService::answer(const std::string& question) const {
  ordered_json object = ordered_json::parse(question, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded())
    return bad_field("the body is not JSON" + api::place_of_json_fault(question));
  if (!object.is_object()) return bad_field("the body is not a JSON object");
  SHEAF_ASSIGN(const PlanQuestion asked, take_question(object));
  ServeFlags serve;
  SHEAF_TRY(check_misspelt(object, serve.flags().config_keys()));
  if (!object.contains("models")) {
    object["models"] = ordered_json::array();
    for (const auto& [name, folder] : folders_) object["models"].push_back({{"source", name}});
  }
  if (!object["models"].is_array()) return bad_field("models is not a list");
  for (ordered_json& model : object["models"]) {
    if (!model.is_object() || !model.contains("source") || !model["source"].is_string())
      return bad_field("models: each is an object with a text \"source\"");
    const auto source = model["source"].get<std::string>();
    if (const auto served = folders_.find(source); served != folders_.end()) {
      model["source"] = served->second;
      if (!model.contains("name")) model["name"] = source;
    } else if (!hub::is_hub_name(source)) {
      return bad_field(fmt::format("models: '{}' is neither served here nor a hub name", source));
    }
  }
  SHEAF_TRY(serve.read_text(object.dump(), kBody));
  SHEAF_ASSIGN(PlanAnswer plan, answer_plan(asked, serve.settings()));
  add_flags(serve.flags(), plan.serving.arguments);
  return plan.json();
}

}  // namespace sheaf::cli
