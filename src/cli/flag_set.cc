#include "cli/flag_set.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace sheaf::cli {
namespace {

std::string help_line(const Flag& flag, const FlagValue& value, const std::string& default_text) {
  const std::string left =
      flag.value.empty() ? "--" + flag.name : fmt::format("--{} {}", flag.name, flag.value);
  const std::string& shown = flag.default_text.empty() ? default_text : flag.default_text;
  const bool off_switch = value.is_switch && flag.value.empty();
  const std::string suffix = shown.empty() || off_switch ? "" : fmt::format(" [{}]", shown);
  return fmt::format("  {:<27} {}{}\n", left, flag.help, suffix);
}

}  // namespace

std::string_view name_of(Origin origin) {
  switch (origin) {
    case Origin::default_value:
      return "default";
    case Origin::file:
      return "file";
    case Origin::environment:
      return "environment";
    case Origin::flag:
      return "flag";
  }
  return "";
}

std::string environment_name(std::string_view flag) {
  std::string name = "SHEAF_";
  for (char c : flag)
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

FlagSet::FlagSet(std::string usage, std::string summary)
    : usage_(std::move(usage)), summary_(std::move(summary)) {}

void FlagSet::add_group(std::string title) { group_ = std::move(title); }

void FlagSet::add(Flag flag, FlagValue value) {
  std::string default_text = value.show();
  entries_.push_back({std::move(flag), std::move(value), std::move(default_text), group_, {}});
}

void FlagSet::add_positional(std::string name, std::vector<std::string>& variable) {
  positional_name_ = std::move(name);
  positional_ = &variable;
}

void FlagSet::set_epilogue(std::string epilogue) { epilogue_ = std::move(epilogue); }

FlagSet::Entry* FlagSet::find(std::string_view name) {
  return const_cast<Entry*>(static_cast<const FlagSet*>(this)->find(name));
}

const FlagSet::Entry* FlagSet::find(std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.flag.name == name) return &entry;
  return nullptr;
}

Error FlagSet::unknown_flag(std::string_view name) const {
  std::vector<std::string_view> names = {"help"};
  for (const Entry& entry : entries_) names.push_back(entry.flag.name);
  const std::string_view near = nearest_word(name, names);
  return usage_error(near.empty()
                         ? fmt::format("unknown flag --{}", name)
                         : fmt::format("unknown flag --{}; did you mean --{}?", name, near));
}

void FlagSet::offer(Entry& entry, Origin origin, std::string where, std::string text) {
  Given& given = entry.given;
  if (origin < given.origin) return;
  const bool adds = entry.value.is_list && origin == given.origin;
  if (!adds) given.texts.clear();
  given.origin = origin;
  given.where = std::move(where);
  given.texts.push_back(std::move(text));
}

std::optional<std::string> FlagSet::doubt_about_variable(std::string_view name) const {
  if (!name.starts_with("SHEAF_")) return std::nullopt;
  std::vector<std::string> names;
  for (const Entry& entry : entries_) names.push_back(environment_name(entry.flag.name));
  if (std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  const std::string_view near =
      nearest_word(name, std::vector<std::string_view>(names.begin(), names.end()));
  return fmt::format("{} is no setting of this command{}", name,
                     near.empty() ? "" : fmt::format("; did you mean {}?", near));
}

bool FlagSet::names_flag(std::string_view argument) {
  return argument.starts_with("--") && find(argument.substr(2, argument.find('=') - 2)) != nullptr;
}

Status FlagSet::take_arguments(std::span<const std::string> arguments) {
  bool flags_over = false;  // after a bare "--"
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (flags_over || argument == "-" || !argument.starts_with('-')) {
      if (positional_ == nullptr)
        return usage_error(fmt::format("unexpected argument '{}'", argument));
      positional_->emplace_back(argument);
      continue;
    }
    if (argument == "--") {
      flags_over = true;
      continue;
    }
    if (argument == "--help" || argument == "-h") {
      help_wanted_ = true;
      return {};
    }
    // The one short form: programs with a file of settings are often asked so.
    const bool short_config = argument == "-c" && find("config") != nullptr;
    if (!argument.starts_with("--") && !short_config)
      return usage_error(fmt::format("unknown flag {}; flags begin with --", argument));

    const std::size_t equals = argument.find('=');
    const std::string_view name =
        short_config ? "config" : argument.substr(2, equals == argument.npos ? equals : equals - 2);
    Entry* entry = find(name);
    if (entry == nullptr) return unknown_flag(name);
    std::string text;
    if (equals != argument.npos) {
      text = argument.substr(equals + 1);
    } else if (entry->value.is_switch) {
      // "--log-json false" is as good as "--log-json=false"; any other word is an argument, unless
      // the help shows a value.
      const bool has_word = i + 1 < arguments.size() &&
                            (parse_boolean(arguments[i + 1]).ok() ||
                             (!entry->flag.value.empty() && !arguments[i + 1].starts_with('-')));
      text = has_word ? arguments[++i] : "true";
    } else if (i + 1 < arguments.size()) {
      text = arguments[++i];
      if (names_flag(text))  // its value was forgotten
        return usage_error(fmt::format("--{} needs a value: {}; write --{}={} if that is one", name,
                                       entry->flag.value, name, text));
    } else {
      return usage_error(fmt::format("--{} needs a value: {}", name, entry->flag.value));
    }
    offer(*entry, Origin::flag, fmt::format("--{}", name), std::move(text));
  }
  return {};
}

void FlagSet::take_environment(const std::function<const char*(const char*)>& lookup) {
  for (Entry& entry : entries_) {
    const std::string name = environment_name(entry.flag.name);
    if (const char* text = lookup(name.c_str())) offer(entry, Origin::environment, name, text);
  }
}

void FlagSet::take_file_value(const std::string& config_key, const std::string& text,
                              const std::string& where) {
  for (Entry& entry : entries_)
    if (entry.flag.config_key == config_key)
      offer(entry, Origin::file, fmt::format("{}: {}", where, config_key), text);
}

Status FlagSet::apply() {
  for (Entry& entry : entries_) {
    for (const std::string& text : entry.given.texts) {
      if (Status status = entry.value.set(text); !status.ok())
        return usage_error(fmt::format("{}: {}", entry.given.where, status.error().message));
    }
  }
  return {};
}

std::string FlagSet::help() const {
  std::string out = fmt::format("usage: {}\n{}\n", usage_, summary_);
  std::string group = "\n";  // no group has this title
  for (const Entry& entry : entries_) {
    if (entry.group != group) {
      group = entry.group;
      if (!group.empty()) out += group + "\n";
    }
    if (!entry.flag.help.empty()) out += help_line(entry.flag, entry.value, entry.default_text);
  }
  return out + epilogue_;
}

std::optional<std::string> FlagSet::given(std::string_view name) const {
  const Entry* entry = find(name);
  if (entry == nullptr || entry->given.texts.empty()) return std::nullopt;
  return entry->given.texts.back();
}

Origin FlagSet::origin_of(std::string_view name) const {
  const Entry* entry = find(name);
  return entry == nullptr ? Origin::default_value : entry->given.origin;
}

std::vector<std::string> FlagSet::config_keys() const {
  std::vector<std::string> keys;
  for (const Entry& entry : entries_)
    if (!entry.flag.config_key.empty()) keys.push_back(entry.flag.config_key);
  return keys;
}

std::vector<EffectiveSetting> FlagSet::effective_settings() const {
  std::vector<EffectiveSetting> settings;
  for (const Entry& entry : entries_) {
    std::string value = entry.value.show();
    if (entry.flag.secret && !value.empty()) value = "****";
    // "0" would not say that it means "measured".
    if (entry.given.origin == Origin::default_value && !entry.flag.default_text.empty())
      value = entry.flag.default_text;
    settings.push_back({entry.flag.name, std::move(value), entry.given.origin});
  }
  return settings;
}

}  // namespace sheaf::cli
