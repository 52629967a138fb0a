#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "model/spec/spec.h"

namespace sheaf::model {

// A test with a copy of one of the model folders of tests/golden, to change.
class ModelFolderTest : public ::testing::Test {
 protected:
  ~ModelFolderTest() override { std::filesystem::remove_all(root_); }

  // `model`: its path under tests/golden.
  void use(const std::string& model) { copy(model + "/model", "model"); }
  // A folder under tests/golden, as a folder of that name.
  void copy(const std::string& from, const std::string& name) {
    std::filesystem::remove_all(root_);
    folder_ = root_ / name;
    std::filesystem::create_directories(folder_);
    std::filesystem::copy(SHEAF_SOURCE_DIR "/tests/golden/" + from, folder_,
                          std::filesystem::copy_options::recursive);
  }
  void write(const std::string& file, const std::string& content) {
    std::ofstream(folder_ / file, std::ios::binary) << content;
  }
  nlohmann::json read(const std::string& file) {
    return nlohmann::json::parse(std::ifstream(folder_ / file));
  }
  // One field of a JSON file.
  void set(const std::string& file, const std::string& field, const nlohmann::json& value) {
    nlohmann::json root = read(file);
    root[field] = value;
    write(file, root.dump());
  }
  void remove(const std::string& file, const std::string& field) {
    nlohmann::json root = read(file);
    root.erase(field);
    write(file, root.dump());
  }
  std::string refusal() {
    const auto spec = read_spec(folder_);
    return spec.ok() ? "" : spec.error().message;
  }

  const std::filesystem::path root_ =
      std::filesystem::temp_directory_path() / ("sheaf_model_test_" + std::to_string(::getpid()));
  std::filesystem::path folder_;
};

}  // namespace sheaf::model
