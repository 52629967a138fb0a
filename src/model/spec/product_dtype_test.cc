#include "model/spec/product_dtype.h"

#include <gtest/gtest.h>

namespace sheaf::model {
namespace {

using Layers = std::vector<std::uint32_t>;

TEST(ProductDtypes, AreReadAndWritten) {
  for (const char* text : {"float32", "int8", "fp8", "fp8:0", "fp8:0-5", "fp8:0,2-4,7,9-1023"}) {
    const auto dtype = parse_product_dtype(text);
    ASSERT_TRUE(dtype.ok()) << dtype.error().message;
    EXPECT_EQ(text_of(*dtype), text);
    EXPECT_EQ(dtype_name_in(text), dtype->name);
  }
  EXPECT_EQ(parse_product_dtype("fp8:0,2-4")->fp8_layers, Fp8Layers(Layers{0, 2, 3, 4}));
  EXPECT_EQ(parse_product_dtype("fp8")->fp8_layers, Fp8Layers());
  EXPECT_EQ(text_of({"fp8", Layers{1, 2, 3, 5}}), "fp8:1-3,5");
  EXPECT_EQ(text_of({"fp8", Layers{}}), "fp8:");
}

std::string complaint(std::string_view text) {
  const auto dtype = parse_product_dtype(text);
  return dtype.ok() ? "" : dtype.error().message;
}

TEST(ProductDtypes, WithLayersThatCannotBeAreRefusedNamingTheNumber) {
  EXPECT_EQ(complaint("int8:0"), "'int8:0' names layers, and only fp8 is of some of them");
  for (const char* text : {"fp8:", "fp8:,1", "fp8:1,", "fp8:1,,2"})
    EXPECT_EQ(complaint(text), "'" + std::string(text) + "' does not name its layers as fp8:0,2-4");
  for (const char* run : {"x", "-1", "1-", "4-2", "1.5", " 1", "99999999999", "0-x", "1-2-3"})
    EXPECT_EQ(complaint("fp8:" + std::string(run)),
              "'" + std::string(run) + "' is no layer in fp8, nor layers as 2-4");
  EXPECT_EQ(complaint("fp8:1024"), "there is no layer 1024: models have 1024 at most");
  EXPECT_EQ(complaint("fp8:0-4000000000"),
            "there is no layer 4000000000: models have 1024 at most");
  EXPECT_EQ(complaint("fp8:3,1"), "layers in fp8 ascend, and 1 comes behind 3");
  EXPECT_EQ(complaint("fp8:0-2,2"), "layers in fp8 ascend, and 2 comes behind 2");
  std::string many = "fp8:0-1023";
  for (int i = 0; i < 100; ++i) many += ",0-1023";
  EXPECT_EQ(complaint(many), "more than 1024 layers are named");
}

TEST(Fp8Layers, AreThoseOfTheModel) {
  ModelSpec spec;
  spec.layers = 6;
  for (const Fp8Layers& layers : {Fp8Layers(), Fp8Layers(Layers{}), Fp8Layers(Layers{0, 5})})
    EXPECT_TRUE(check_fp8_layers(spec, layers).ok());
  EXPECT_EQ(check_fp8_layers(spec, Layers{0, 6}).error().message,
            "layer 6 cannot be in fp8: the model's 6 layers are numbered from 0");
  EXPECT_EQ(check_fp8_layers(spec, Layers{2, 2}).error().message,
            "layers in fp8 ascend, and 2 comes behind 2");
}

TEST(Fp8Layers, AreAllWhereNothingIsSaid) {
  EXPECT_TRUE(is_in_fp8({}, 3));
  EXPECT_TRUE(is_in_fp8(Layers{1, 3}, 3));
  EXPECT_FALSE(is_in_fp8(Layers{1, 3}, 2));
  EXPECT_FALSE(is_in_fp8(Layers{}, 0));
}

}  // namespace
}  // namespace sheaf::model
