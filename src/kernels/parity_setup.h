#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>

#include "kernels/ops.h"
#include "kernels/staged.h"

namespace sheaf::kernels {

// A backend that parity tests are run for.
struct Setup {
  std::string backend;
  int threads = 1;
  std::function<std::unique_ptr<Backend>(const BackendOptions&)> make;
  bool on_device = false;
  Dtype states = Dtype::float32;  // what states are rounded to on the way
  // Whether sums of products in fp8 are rounded to states before they are scaled.
  bool rounds_fp8_sums = false;
  // Which attention is that of q, k and v rounded to the backend's dtype.
  std::function<bool(const AttentionShape&)> rounds_attention = [](const AttentionShape&) {
    return false;
  };
};

inline void PrintTo(const Setup& setup, std::ostream* out) { *out << setup.backend; }

// One that was made by name, which takes states as the tests have them.
inline std::unique_ptr<Backend> backend_for_tests(const std::string& name,
                                                  const BackendOptions& options) {
  auto made = make_backend(name, options);
  EXPECT_TRUE(made.ok()) << made.error().message;
  if (!made.ok()) return nullptr;
  if ((*made)->state_dtype() == Dtype::float32) return std::move(*made);
  return std::make_unique<Staged>(std::move(*made));
}

inline Setup setup_by_name(const std::string& name, int threads) {
  Setup setup = {name, threads, [name](const BackendOptions& options) {
                   return backend_for_tests(name, options);
                 }};
  if (const auto made = make_backend(name, {}); made.ok()) setup.states = (*made)->state_dtype();
  if (setup.states == Dtype::bfloat16 && name.starts_with("cpu"))  // and the shares of softmax too
    setup.rounds_attention = [](const AttentionShape& shape) {
      return shape.relative.rows == nullptr;
    };
  return setup;
}

inline std::string name_of_setup(const ::testing::TestParamInfo<Setup>& info) {
  std::string name = info.param.backend + "_threads_" + std::to_string(info.param.threads);
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

}  // namespace sheaf::kernels
