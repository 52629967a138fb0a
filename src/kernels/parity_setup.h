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

namespace sheaf::kernels {

// A backend that parity tests are run for.
struct Setup {
  std::string backend;
  int threads = 1;
  std::function<std::unique_ptr<Backend>(const BackendOptions&)> make;
  bool on_device = false;
  Dtype states = Dtype::float32;  // what states are rounded to on the way to a device
  // Which attention is that of q, k and v rounded to the backend's dtype.
  std::function<bool(const AttentionShape&)> rounds_attention = [](const AttentionShape&) {
    return false;
  };
};

inline void PrintTo(const Setup& setup, std::ostream* out) { *out << setup.backend; }

inline Setup setup_by_name(const std::string& name, int threads) {
  return {name, threads, [name](const BackendOptions& options) {
            auto made = make_backend(name, options);
            EXPECT_TRUE(made.ok()) << made.error().message;
            return made.ok() ? std::move(*made) : nullptr;
          }};
}

inline std::string name_of_setup(const ::testing::TestParamInfo<Setup>& info) {
  std::string name = info.param.backend + "_threads_" + std::to_string(info.param.threads);
  std::ranges::replace_if(
      name, [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
}

}  // namespace sheaf::kernels
