#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/flag_value.h"

namespace sheaf::cli {

struct Flag {
  std::string name;   // "max-length": the flag --max-length and the variable SHEAF_MAX_LENGTH
  std::string value;  // what the help calls its value, "N"; empty for switches
  std::string help;   // half a line; empty: it has none, for the summary speaks of it
  std::string config_key = {};  // "limits.texts" in sheaf.yaml; empty: not to be had there
  // Shown in the help as the default where the variable's own text does not say it ("measured").
  std::string default_text = {};
  bool secret = false;  // its value is never shown
};

// Where an effective setting came from, weakest first.
enum class Origin { default_value, file, environment, flag };
std::string_view name_of(Origin origin);

struct EffectiveSetting {
  std::string name;
  std::string value;  // as the help says it; "****" for a secret that is set
  Origin origin = Origin::default_value;
};

// The flags of one command: the one table from which arguments, environment, configuration keys,
// help and the list of effective settings come, so that none of them can miss a flag.
//
//   flags.add({"port", "N", "HTTP port", "listen.port"}, whole_number(settings.port, 0, 65535));
//   SHEAF_TRY(flags.take_arguments(arguments));
//   flags.take_environment();
//   SHEAF_TRY(flags.take_file_value(...));   // as often as the file has keys
//   SHEAF_TRY(flags.apply());
//
// The order of the take_…() calls does not matter: a flag beats the environment, which beats the
// file, which beats the default.
class FlagSet {
 public:
  // `usage` is the first line of the help after "usage: "; `summary` one sentence.
  FlagSet(std::string usage, std::string summary);

  void add_group(std::string title);
  void add(Flag flag, FlagValue value);
  // Arguments that are no flags go here; without it they are refused.
  void add_positional(std::string name, std::vector<std::string>& variable);
  // Lines at the end of the help: examples.
  void set_epilogue(std::string epilogue);

  // `--name value`, `--name=value`, `--switch`, `--switch false`, `--help`, `-h`, and `-c FILE` for
  // --config. Unknown flags are refused, naming the nearest.
  Status take_arguments(std::span<const std::string> arguments);
  // `lookup` gives the value of a variable, or nullptr.
  void take_environment(const std::function<const char*(const char*)>& lookup);
  // "SHEAF_PROT is no setting; did you mean SHEAF_PORT?" if it looks like one of ours but is none.
  std::optional<std::string> doubt_about_variable(std::string_view name) const;
  // `where` ("sheaf.yaml:12") begins the message of any error in this value.
  void take_file_value(const std::string& config_key, const std::string& text,
                       const std::string& where);

  // Sets the variables. Errors name the flag, variable or place in the file.
  Status apply();

  bool help_wanted() const { return help_wanted_; }
  // At most 80 columns a line; says defaults.
  std::string help() const;

  // What was given for a flag so far, if anything; before apply(), for --config itself.
  std::optional<std::string> given(std::string_view name) const;
  Origin origin_of(std::string_view name) const;
  std::vector<std::string> config_keys() const;
  std::vector<EffectiveSetting> effective_settings() const;

 private:
  struct Given {
    Origin origin = Origin::default_value;
    std::string where;
    std::vector<std::string> texts;
  };
  struct Entry {
    Flag flag;
    FlagValue value;
    std::string default_text;
    std::string group;
    Given given;
  };
  Entry* find(std::string_view name);
  bool names_flag(std::string_view argument);  // "--port", "--port=1"
  const Entry* find(std::string_view name) const;
  Error unknown_flag(std::string_view name) const;
  static void offer(Entry& entry, Origin origin, std::string where, std::string text);

  std::string usage_, summary_, epilogue_;
  std::string group_;
  std::vector<Entry> entries_;
  std::string positional_name_;
  std::vector<std::string>* positional_ = nullptr;
  bool help_wanted_ = false;
};

// "max-length" → "SHEAF_MAX_LENGTH".
std::string environment_name(std::string_view flag);

}  // namespace sheaf::cli
