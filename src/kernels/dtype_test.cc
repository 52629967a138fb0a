// Parity of every backend of another dtype than float32 that runs here.
#include <gtest/gtest.h>

#include "kernels/dtype_parity.h"
#include "kernels/ops.h"

namespace sheaf::kernels {
namespace {

std::vector<Setup> rounded_setups() {
  std::vector<Setup> setups;
  for (const Dtype dtype : {Dtype::bfloat16, Dtype::float16, Dtype::int8})
    for (const std::string& name : backend_names(dtype))
      for (const int threads : {1, 3}) setups.push_back(setup_by_name(name, threads));
  return setups;
}

INSTANTIATE_TEST_SUITE_P(Backends, Dtypes, ::testing::ValuesIn(rounded_setups()), name_of_setup);

TEST(DtypeNames, AreReadBack) {
  for (const Dtype dtype : tensor::kDtypes) EXPECT_EQ(tensor::dtype_of(name_of(dtype)), dtype);
  EXPECT_FALSE(tensor::dtype_of("float64"));
}

}  // namespace
}  // namespace sheaf::kernels
