#include "cli/flag_set.h"

#include <gtest/gtest.h>

namespace sheaf::cli {
namespace {

// A command with one flag of each kind.
struct Sample {
  std::uint32_t port = 8080;
  std::string key;
  bool json = false;
  std::vector<std::string> files;
  FlagSet flags{"sample FILE... [flags]", "Does nothing."};

  Sample() {
    flags.add_positional("FILE", files);
    flags.add({"port", "N", "where to listen", "listen.port"}, whole_number(port, 0, 65535));
    flags.add({"api-key", "K", "secret", "listen.api_key", "none", true}, text(key));
    flags.add({"json", "", "print JSON"}, boolean(json));
  }

  Status read(std::vector<std::string> arguments,
              const std::map<std::string, std::string>& environment = {}) {
    SHEAF_TRY(flags.take_arguments(arguments));
    flags.take_environment([&](const char* name) {
      const auto found = environment.find(name);
      return found == environment.end() ? nullptr : found->second.c_str();
    });
    return flags.apply();
  }
};

TEST(FlagSet, TakesBothSpellingsSwitchesAndPositionals) {
  Sample sample;
  ASSERT_TRUE(
      sample.read({"a", "--port", "1", "--json", "b", "--api-key=x=y", "-", "--", "--c"}).ok());
  EXPECT_EQ(sample.port, 1u);
  EXPECT_EQ(sample.key, "x=y");
  EXPECT_TRUE(sample.json);
  EXPECT_EQ(sample.files, (std::vector<std::string>{"a", "b", "-", "--c"}));
}

TEST(FlagSet, TheFileOfSettingsHasAShortForm) {
  std::string config;
  FlagSet flags{"sample", "Does nothing."};
  EXPECT_FALSE(flags.take_arguments(std::vector<std::string>{"-c", "a.yaml"}).ok());
  flags.add({"config", "FILE", "settings"}, text(config));
  ASSERT_TRUE(flags.take_arguments(std::vector<std::string>{"-c", "a.yaml"}).ok());
  ASSERT_TRUE(flags.apply().ok());
  EXPECT_EQ(config, "a.yaml");
}

TEST(FlagSet, ASwitchMayBeSaidToBeFalse) {
  Sample sample;
  ASSERT_TRUE(sample.read({"--json", "--json", "false"}).ok());
  EXPECT_FALSE(sample.json);
}

TEST(FlagSet, FlagBeatsEnvironmentBeatsFileBeatsDefault) {
  const std::map<std::string, std::string> environment = {{"SHEAF_PORT", "2"}};
  {
    Sample sample;
    sample.flags.take_file_value("listen.port", "3", "f.yaml:1");
    ASSERT_TRUE(sample.read({"--port", "1"}, environment).ok());
    EXPECT_EQ(sample.port, 1u);
    EXPECT_EQ(sample.flags.origin_of("port"), Origin::flag);
  }
  {
    Sample sample;
    sample.flags.take_file_value("listen.port", "3", "f.yaml:1");
    ASSERT_TRUE(sample.read({}, environment).ok());
    EXPECT_EQ(sample.port, 2u);
    EXPECT_EQ(sample.flags.origin_of("port"), Origin::environment);
  }
  {
    Sample sample;
    sample.flags.take_file_value("listen.port", "3", "f.yaml:1");
    ASSERT_TRUE(sample.read({}).ok());
    EXPECT_EQ(sample.port, 3u);
  }
  Sample sample;
  ASSERT_TRUE(sample.read({}).ok());
  EXPECT_EQ(sample.port, 8080u);
}

TEST(FlagSet, DoubtsVariablesThatAreNoSettings) {
  const Sample sample;
  EXPECT_EQ(sample.flags.doubt_about_variable("SHEAF_PROT"),
            "SHEAF_PROT is no setting of this command; did you mean SHEAF_PORT?");
  EXPECT_EQ(sample.flags.doubt_about_variable("SHEAF_PORT"), std::nullopt);
  EXPECT_EQ(sample.flags.doubt_about_variable("PATH"), std::nullopt);
}

TEST(FlagSet, ErrorsNameTheirPlace) {
  EXPECT_EQ(Sample().read({"--prot", "1"}).error().message,
            "unknown flag --prot; did you mean --port?");
  EXPECT_EQ(Sample().read({"--zzzzzzzz"}).error().message, "unknown flag --zzzzzzzz");
  EXPECT_EQ(Sample().read({"--port"}).error().message, "--port needs a value: N");
  EXPECT_EQ(Sample().read({"--port", "--port=2"}).error().message,
            "--port needs a value: N; write --port=--port=2 if that is one");
  EXPECT_EQ(Sample().read({"--port", "x"}).error().message,
            "--port: 'x' is not a whole number from 0 to 65535");
  EXPECT_EQ(Sample().read({}, {{"SHEAF_PORT", "x"}}).error().message,
            "SHEAF_PORT: 'x' is not a whole number from 0 to 65535");
  EXPECT_EQ(Sample().read({"-p"}).error().message, "unknown flag -p; flags begin with --");
}

TEST(FlagSet, SecretsAreMaskedOnceSet) {
  Sample sample;
  EXPECT_EQ(sample.flags.effective_settings()[1].value, "none");
  ASSERT_TRUE(sample.read({"--api-key", "hunter2"}).ok());
  EXPECT_EQ(sample.flags.effective_settings()[1].value, "****");
}

TEST(FlagSet, HelpSaysDefaults) {
  Sample sample;
  ASSERT_TRUE(sample.flags.take_arguments(std::vector<std::string>{"--help"}).ok());
  EXPECT_TRUE(sample.flags.help_wanted());
  EXPECT_NE(sample.flags.help().find("--port N                    where to listen [8080]"),
            std::string::npos)
      << sample.flags.help();
}

}  // namespace
}  // namespace sheaf::cli
