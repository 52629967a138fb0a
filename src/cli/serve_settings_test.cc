#include "cli/serve_settings.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cli/config_file.h"
#include "cli/placing.h"
#include "cli/version.h"

namespace sheaf::cli {
namespace {

const char* no_environment(const char*) { return nullptr; }

Status read(ServeFlags& flags, std::vector<std::string> arguments) {
  return flags.read(arguments, no_environment);
}

std::string message_of(std::vector<std::string> arguments) {
  ServeFlags flags;
  const Status status = read(flags, std::move(arguments));
  return status.ok() ? "ok" : status.error().message;
}

std::string file_content(const std::string& path) {
  std::ifstream file(path);
  std::stringstream content;
  content << file.rdbuf();
  return content.str();
}

// A file that is gone with the test.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content)
      : path_(testing::TempDir() + "sheaf_settings_test.yaml") {
    std::ofstream(path_) << content;
  }
  ~TemporaryFile() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(ServeSettings, ModelsByFolderNameAndBoth) {
  ServeFlags flags;
  ASSERT_TRUE(read(flags, {"a/b", "name=/folder", "--model", "c/d"}).ok());
  const auto& models = flags.settings().models;
  ASSERT_EQ(models.size(), 3u);
  EXPECT_EQ(models[0].source, "a/b");
  EXPECT_EQ(models[0].name, "");
  EXPECT_EQ(models[1].name, "name");
  EXPECT_EQ(models[1].source, "/folder");
  EXPECT_EQ(models[2].source, "c/d");
}

TEST(ServeSettings, TheLogBeginsWithTheModels) {
  ServeFlags flags;
  ASSERT_TRUE(read(flags, {"a/b", "name=/folder", "--num-replicas", "2"}).ok());
  EXPECT_EQ(describe_given(flags), "a/b, name=/folder, num-replicas=2 (flag)");
}

TEST(ServeSettings, RefusalsSayWhatExists) {
  EXPECT_EQ(message_of({"m", "--dtype", "int4"}),
            "--dtype: 'int4' is not one of auto, float32, bfloat16, int8, fp8");
  EXPECT_EQ(message_of({"m", "--device", "gpu"}), "--device: 'gpu' is not one of auto, cpu, cuda");
  EXPECT_EQ(message_of({"m", "--gpu-assignment", "alone"}),
            "--gpu-assignment: 'alone' is not one of auto, dedicated, shared, mig, mps, time");
  EXPECT_EQ(message_of({"m", "--gpu-memory-utilization", "1.5"}),
            "--gpu-memory-utilization 1.5: is more than all of it, 1");
  EXPECT_EQ(message_of({"m", "--device", "cpu", "--num-gpus", "2"}),
            "--device cpu: --num-gpus and --gpu-assignment are about cards");
  EXPECT_EQ(message_of({"m", "--num-replicas", "0"}),
            "--num-replicas: '0' is not a whole number from 1 to 1024, nor auto");
  EXPECT_EQ(message_of({"m", "--load-balancing", "best"}),
            "--load-balancing: 'best' is not one of predictive, least_loaded, round_robin, random");
  EXPECT_EQ(message_of({"m", "--auto-truncate", "maybe"}),
            "--auto-truncate: 'maybe' is not true or false");
  EXPECT_EQ(message_of({"m", "--auto-truncate", "--log-json"}), "ok");
  EXPECT_EQ(message_of({"--log-json", "m"}), "ok");
  EXPECT_NE(message_of({}).find("no model given"), std::string::npos);
  for (const char* half : {"=", "=folder", "name=", "name=folder="})
    EXPECT_NE(message_of({half}).find("is not NAME=FOLDER"), std::string::npos) << half;
  EXPECT_NE(message_of({"a", "b", "--served-model-name", "x"}).find("2 are given"),
            std::string::npos);
  EXPECT_EQ(message_of({"m", "--pooling", "median"}),
            "--pooling: 'median' is not one of cls, max, mean, mean_sqrt_len, weighted_mean, "
            "last_token, splade, rerank");
  EXPECT_EQ(message_of({"m", "--pooling", "last-token"}), "ok") << "TEI's flag";
  // Flags of later work are not swallowed.
  EXPECT_EQ(message_of({"m", "--data-parallel-size", "2"}),
            "unknown flag --data-parallel-size; did you mean --tensor-parallel-size?");
  EXPECT_EQ(message_of({"m", "--pipeline-parallel-size", "0"}),
            "--pipeline-parallel-size: '0' is not a whole number from 1 to 64");
  EXPECT_EQ(message_of({"m", "--tensor-parallel-size", "65"}),
            "--tensor-parallel-size: '65' is not a whole number from 1 to 64");
}

TEST(ServeSettings, LimitsThatNoListenerCouldKeepAreRefused) {
  EXPECT_EQ(message_of({"m", "--header-timeout", "5000000s"}),
            "--header-timeout 5000000s: must be 1ms to 1440m");
  EXPECT_EQ(message_of({"m", "--idle-timeout", "0"}), "--idle-timeout 0us: must be 1ms to 1440m");
  EXPECT_EQ(message_of({"m", "--max-grpc-message", "3GiB"}),
            "--max-grpc-message 3GiB: must be 1KiB to 1GiB");
  EXPECT_EQ(message_of({"m", "--max-header", "5GiB"}), "--max-header 5GiB: must be 1KiB to 1GiB");
  EXPECT_EQ(message_of({"m", "--max-body", "0"}), "--max-body 0B: must be 1KiB to 1GiB");
  EXPECT_EQ(message_of({"m", "--max-bodies", "1MiB"}),
            "--max-bodies 1MiB: must be 32MiB to 1024GiB");
  EXPECT_EQ(message_of({"m", "--drain-timeout", "0"}), "ok");
}

TEST(ServeSettings, AnEmptyKeyDoesNotOpenTheServer) {
  for (const char* key : {"", ","})
    EXPECT_EQ(message_of({"m", "--api-key", key}),
              "--api-key: is empty; leave it out to ask for no key");
  EXPECT_EQ(message_of({"m", "--api-key", "a"}), "ok");
}

TEST(ServeSettings, FileGivesModelsAndSettings) {
  const TemporaryFile file(
      "models:\n"
      "  - source: org/one\n"
      "    name: one\n"
      "    replicas: 3\n"
      "    max_length: 128\n"
      "    default_prompt: 'q: '\n"
      "    pooling: cls\n"
      "    dtype: int8\n"
      "  - org/two\n"
      "listen: {port: 9000, api_key: secret}\n"
      "limits:\n"
      "  texts: 7\n");
  ServeFlags flags;
  const Status status = read(flags, {"--config", file.path(), "--max-texts", "8"});
  ASSERT_TRUE(status.ok()) << status.error().message;
  const ServeSettings& settings = flags.settings();
  ASSERT_EQ(settings.models.size(), 2u);
  EXPECT_EQ(settings.models[0].name, "one");
  EXPECT_EQ(settings.models[0].replicas, "3");
  EXPECT_EQ(settings.models[0].max_length, 128u);
  EXPECT_EQ(settings.models[0].default_prompt, "q: ");
  EXPECT_FALSE(settings.default_prompt);
  EXPECT_EQ(settings.models[0].pooling, "cls");
  EXPECT_EQ(settings.models[0].dtype, "int8");
  EXPECT_EQ(settings.models[1].source, "org/two");
  EXPECT_FALSE(settings.models[1].pooling);
  EXPECT_EQ(settings.port, 9000u);
  EXPECT_EQ(settings.max_texts, 8u) << "the flag beats the file";
  EXPECT_EQ(settings.api_keys, std::vector<std::string>{"secret"});
  const std::string given = describe_given(flags);
  EXPECT_NE(given.find("port=9000 (file)"), std::string::npos) << given;
  EXPECT_EQ(given.find("secret"), std::string::npos) << given;
  const std::string defaults = describe_defaults(flags);
  EXPECT_NE(defaults.find("max-length=the model's"), std::string::npos) << defaults;
  EXPECT_EQ(defaults.find(" port="), std::string::npos) << defaults;
}

TEST(ServeSettings, FlagsBeatWhatTheFileSaysOfAModel) {
  const TemporaryFile file("models: [{source: org/one, replicas: 3, pooling: cls, dtype: int8}]\n");
  ServeFlags flags;
  ASSERT_TRUE(read(flags, {"--config", file.path(), "--num-replicas", "5", "--pooling", "mean",
                           "--dtype", "auto"})
                  .ok());
  EXPECT_FALSE(flags.settings().models[0].replicas.has_value());
  EXPECT_FALSE(flags.settings().models[0].pooling.has_value());
  EXPECT_FALSE(flags.settings().models[0].dtype.has_value());
  EXPECT_EQ(flags.settings().pooling, "mean");
  EXPECT_EQ(flags.settings().num_replicas, "5");
}

using Words = std::vector<std::string>;

TEST(ServeSettings, SlicesOfModelsAndOfTheServer) {
  const TemporaryFile file(
      "models:\n"
      "  - {source: a/b, slices: [0, 'mig:1/3', 'cores:0,2-3']}\n"
      "  - {source: c/d, slices: gpu:1}\n"
      "slices: {gpus: 2, memory_utilization: 0.5, assignment: shared}\n");
  ServeFlags from_file;
  const Status read_file = read(from_file, {"--config", file.path()});
  ASSERT_TRUE(read_file.ok()) << read_file.error().message;
  const ServeSettings& settings = from_file.settings();
  EXPECT_EQ(settings.models[0].slices, (Words{"0", "mig:1/3", "cores:0,2-3"}));
  EXPECT_EQ(settings.models[1].slices, Words{"gpu:1"});
  EXPECT_EQ(settings.num_gpus, 2u);
  EXPECT_EQ(settings.gpu_memory_utilization, 0.5);
  EXPECT_EQ(settings.gpu_assignment, "shared");

  ServeFlags flags;
  ASSERT_TRUE(
      read(flags, {"--config", file.path(), "--slices", "cores:0,2-3,gpu:0", "--slices", "1"})
          .ok());
  EXPECT_EQ(flags.settings().slices, (Words{"cores:0,2-3", "gpu:0", "1"}));
  EXPECT_TRUE(flags.settings().models[0].slices.empty()) << "the flag beats the file";
}

TEST(Placing, NumbersBehindCoresAreCores) {
  EXPECT_EQ(join_core_lists({"cores:0", "2-3", "gpu:0", "1"}),
            (Words{"cores:0,2-3", "gpu:0", "1"}));
  EXPECT_EQ(join_core_lists({"0", "cores:1", "cores:2", "3"}),
            (Words{"0", "cores:1", "cores:2,3"}));
  EXPECT_TRUE(join_core_lists({}).empty());
}

TEST(ServeSettings, WhatPlansGoByIsReadAndDoesNotBotherServing) {
  const TemporaryFile file(
      "models:\n- {source: a/b, target: {tokens_per_s: 5e4, p99_ms: 20}, isolation: full,\n"
      "   measured_tokens_per_s: 90000}\n- {source: c/d, target: {p99_ms: 7.5}}\n- e/f\n");
  ServeFlags flags;
  ASSERT_TRUE(read(flags, {"--config", file.path()}).ok());
  const auto& models = flags.settings().models;
  EXPECT_EQ(models[0].target_tokens_per_s, 50'000);
  EXPECT_EQ(models[0].target_p99_ms, 20);
  EXPECT_EQ(models[0].isolation, "full");
  EXPECT_EQ(models[0].measured_tokens_per_s, 90'000);
  EXPECT_EQ(models[1].target_tokens_per_s, 0);
  EXPECT_EQ(models[1].target_p99_ms, 7.5);
  EXPECT_EQ(models[2].isolation, "none");
}

TEST(ServeSettings, UnknownKeysNameLineAndNearestKey) {
  const auto refused = [](const std::string& yaml) {
    const TemporaryFile file(yaml);
    std::string message = message_of({"m", "--config", file.path()});
    return message.substr(std::min(message.size(), file.path().size()));
  };
  EXPECT_EQ(refused("limits:\n  text: 7\n"),
            ":2: unknown key 'limits.text'; did you mean 'limits.texts'?");
  EXPECT_EQ(refused("port: 1\n"), ":1: unknown key 'port'; did you mean 'listen.port'?");
  EXPECT_EQ(refused("listen: {texts: 1}\n"),
            ":1: unknown key 'listen.texts'; did you mean 'limits.texts'?");
  EXPECT_EQ(refused("listne: {port: 1}\n"), ":1: unknown key 'listne'; did you mean 'listen'?");
  EXPECT_EQ(refused("models:\n- {sorce: x}\n"), ":2: unknown key 'sorce'; did you mean 'source'?");
  EXPECT_EQ(refused("models:\n- {name: x}\n"), ":2: a model has no 'source'");
  EXPECT_NE(
      refused("models:\n- {source: x, pooling: no}\n").find(":2: models: pooling: 'no' is not"),
      std::string::npos);
  EXPECT_EQ(refused("models:\n- source: x\n  streams: 9\n"),
            ":3: models: streams: '9' is not a whole number from 1 to 8, nor auto");
  EXPECT_EQ(refused("models:\n- source: x\n  replicas: 0\n"),
            ":3: models: replicas: '0' is not a whole number from 1 to 1024, nor auto");
  EXPECT_EQ(refused("\nstreams: many\n"),
            ":2: streams: 'many' is not a whole number from 1 to 8, nor auto");
  EXPECT_EQ(refused("limits: 3\n"), ":1: 'limits' is not a map");
  EXPECT_EQ(refused("listen: {port: [1]}\n"), ":1: 'listen.port' is not a single value");
  EXPECT_EQ(refused("- a\n"), ":1: the file is not a map of keys to values");
  EXPECT_EQ(refused("listen:\n  port: x\n"),
            ":2: listen.port: 'x' is not a whole number from 0 to 65535");
  EXPECT_NE(refused("a: [\n").find(":2:1: "), std::string::npos);
  EXPECT_NE(message_of({"m", "--config", "/nowhere.yaml"}).find("/nowhere.yaml"),
            std::string::npos);
}

TEST(ServeSettings, EmptyFileIsNoError) {
  const TemporaryFile file("# nothing\n");
  EXPECT_EQ(message_of({"m", "--config", file.path()}), "ok");
}

// The sample is the manual: it is valid and says every key.
TEST(ServeSettings, SampleFileNamesEveryKey) {
  const std::string path = std::string(SHEAF_SOURCE_DIR) + "/deploy/sheaf.yaml";
  EXPECT_EQ(message_of({"--config", path}), "ok");
  const std::string sample = file_content(path);
  ASSERT_FALSE(sample.empty());
  ServeFlags flags;
  for (const std::string& key : flags.flags().config_keys()) {
    const std::string last = key.substr(key.rfind('.') + 1) + ":";
    EXPECT_NE(sample.find(last), std::string::npos) << key;
  }
}

TEST(ServeSettings, HelpFitsAScreen) {
  ServeFlags flags;
  std::istringstream help(flags.flags().help());
  int lines = 0;
  for (std::string line; std::getline(help, line); ++lines) EXPECT_LE(line.size(), 80u) << line;
  EXPECT_LE(lines, 50);
}

TEST(Version, IsTheBuilds) {
  const std::string cmake = file_content(std::string(SHEAF_SOURCE_DIR) + "/CMakeLists.txt");
  EXPECT_NE(cmake.find("project(sheaf VERSION " + std::string(kVersion) + " "), std::string::npos);
}

}  // namespace
}  // namespace sheaf::cli
