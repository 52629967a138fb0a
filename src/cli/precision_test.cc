#include "cli/precision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace sheaf::cli {
namespace {

Precision precision(std::string dtype, double rate, double mean = 1, double least = 1) {
  return {std::move(dtype), "some cpu", rate, mean, least};
}

Precision some_layers(std::string dtype, std::uint32_t of_layers) {
  Precision some = precision(std::move(dtype), 150, 0.9992, 0.998);
  some.of_layers = of_layers;
  return some;
}

std::string best(std::vector<Precision> precisions) { return best_precision(precisions).dtype; }

TEST(Precisions, TheFastestThatIsAccurateIsTaken) {
  const Precision exact = precision("float32", 100);
  EXPECT_EQ(best({exact}), "float32");
  EXPECT_EQ(best({exact, precision("bfloat16", 200, 0.9999, 0.9998)}), "bfloat16");
  EXPECT_EQ(best({exact, precision("bfloat16", 200), precision("int8", 300, 0.9995, 0.996)}),
            "int8");
}

TEST(Cosines, OfAnswersThatSayNothing) {
  const std::vector<float> none, zeros(3), one = {1, 2, 2}, other = {2, 4, 4},
                                           broken = {1, std::nanf(""), 0}, terms = {3, 0.5f, 7, 1};
  for (const bool sparse : {false, true}) EXPECT_EQ(cosine_of(none, none, sparse), 1);
  EXPECT_DOUBLE_EQ(cosine_of(one, other, false), 1);
  EXPECT_EQ(cosine_of(zeros, zeros, false), 1);
  EXPECT_EQ(cosine_of(one, zeros, false), 0);
  EXPECT_EQ(cosine_of(one, broken, false), 0);
  EXPECT_EQ(cosine_of(one, none, false), 0);
  EXPECT_EQ(cosine_of(terms, none, true), 0);
  EXPECT_DOUBLE_EQ(cosine_of(terms, terms, true), 1);
  EXPECT_DOUBLE_EQ(cosine_of(terms, std::vector<float>{4, 9, 7, 1}, true),
                   1 / std::sqrt(1.25 * 82));
}

TEST(Precisions, WhatIsNotAccurateIsNot) {
  const Precision exact = precision("float32", 100);
  EXPECT_EQ(best({exact, precision("int8", 300, 0.9989, 0.996)}), "float32");
  EXPECT_EQ(best({exact, precision("int8", 300, 0.9995, 0.9949)}), "float32");
  EXPECT_EQ(best({exact, precision("int8", 300, std::nan(""), std::nan(""))}), "float32");
}

TEST(Precisions, ALessExactOneHasToGainOverTheOneBefore) {
  const Precision exact = precision("float32", 100);
  EXPECT_EQ(best({exact, precision("bfloat16", 200), precision("int8", 219)}), "bfloat16");
  EXPECT_EQ(best({exact, precision("bfloat16", 200), precision("int8", 221)}), "int8");
  EXPECT_EQ(best({exact, precision("bfloat16", 109), precision("int8", 111)}), "int8");
}

TEST(Precisions, WhatGainsLittleIsNot) {
  const Precision exact = precision("float32", 100);
  EXPECT_EQ(best({exact, precision("int8", 109)}), "float32");
  EXPECT_EQ(best({exact, precision("int8", 111)}), "int8");
  EXPECT_EQ(best({exact, precision("int8", 90)}), "float32");
}

TEST(Precisions, ATenthIsWorthwhileWhateverItsAccuracy) {
  const Precision best = precision("bfloat16", 200);
  EXPECT_FALSE(is_worthwhile(precision("fp8", 219, 0.9, 0.8), best));
  EXPECT_TRUE(is_worthwhile(precision("fp8", 221, 0.9, 0.8), best));
  EXPECT_FALSE(is_worthwhile(precision("fp8", 0), precision("float32", 0))) << "it failed";
}

TEST(Precisions, DescriptionsSayWhyNot) {
  const std::vector<Precision> all = {precision("float32", 100),
                                      precision("int8", 250, 0.998, 0.99)};
  EXPECT_EQ(describe(all[0], all), "float32 (some cpu): 100 tokens/s");
  EXPECT_EQ(describe(all[1], all),
            "int8 (some cpu): 250 tokens/s, 2.50 times float32; cosine mean 0.99800, least "
            "0.99000: not accurate enough for auto");
}

TEST(Precisions, DescriptionsCountLayers) {
  const Precision some = some_layers("fp8:0,2-4", 6);
  const std::vector<Precision> all = {precision("float32", 100), some};
  EXPECT_EQ(describe(all[1], all),
            "fp8:0,2-4 (some cpu, in the feed-forward parts of 4 of 6 layers): 150 tokens/s, 1.50 "
            "times float32; cosine mean 0.99920, least 0.99800");
  EXPECT_EQ(best(all), "fp8:0,2-4");
}

TEST(Precisions, OfLayersAreNamed) {
  for (const char* name : {"fp8", "fp8:0", "fp8:0,2-4"}) EXPECT_TRUE(check_dtype(name).ok());
  EXPECT_EQ(check_dtype("fp8:4-2").error().message, "'4-2' is no layer in fp8, nor layers as 2-4");
  EXPECT_EQ(check_dtype("int8:0").error().message,
            "'int8:0' is not one of auto, float32, bfloat16, int8, fp8");
}

TEST(Precisions, DtypesAreNamed) {
  for (const char* name : {"auto", "float32", "bfloat16", "int8"})
    EXPECT_TRUE(check_dtype(name).ok());
  EXPECT_EQ(check_dtype("bf16").error().message,
            "'bf16' is not one of auto, float32, bfloat16, int8, fp8; bfloat16 is the nearest");
  EXPECT_EQ(check_dtype("int4").error().message,
            "'int4' is not one of auto, float32, bfloat16, int8, fp8");
}

class Kept : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_ + "/model");
    write("model/config.json");
    write("program");
    ::setenv("SHEAF_CACHE", (folder_ + "/cache").c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("SHEAF_CACHE");
    std::filesystem::remove_all(folder_);
  }
  void write(const std::string& name) const { std::ofstream(folder_ + "/" + name) << name; }

  const std::string folder_ = ::testing::TempDir() + "sheaf-precision-test";
  const std::string program_ = folder_ + "/program";
  const ModelSource source_{folder_ + "/model"};
  const std::vector<Precision> some_ = {precision("float32", 100), precision("int8", 200, 0.9995)};
};

TEST_F(Kept, AreReadBack) {
  EXPECT_FALSE(kept_precisions({program_}, source_));
  EXPECT_EQ(dtype_at_once("auto", {program_}, source_), "float32");
  ASSERT_TRUE(keep_precisions({program_}, source_, some_).ok());
  const auto kept = kept_precisions({program_}, source_);
  ASSERT_TRUE(kept && kept->size() == 2);
  EXPECT_EQ((*kept)[1].dtype, "int8");
  EXPECT_EQ((*kept)[1].mean_cosine, 0.9995);
  EXPECT_EQ(dtype_at_once("auto", {program_}, source_), "int8");
  EXPECT_EQ(dtype_at_once("bfloat16", {program_}, source_), "bfloat16");
}

TEST_F(Kept, ChosenLayersAreWhatFp8Means) {
  const Computer card{.program = program_, .card = "a card"};
  EXPECT_EQ(dtype_at_once("fp8", card, source_), "fp8");
  const Precision some = some_layers("fp8:0,2-4", 6);
  const Precision all = precision("fp8", 160, 0.998, 0.99);
  const std::vector<Precision> measured = {precision("float32", 100), some, all};
  ASSERT_TRUE(keep_precisions(card, source_, measured).ok());
  const auto kept = kept_precisions(card, source_);
  ASSERT_TRUE(kept && kept->size() == 3);
  EXPECT_EQ((*kept)[1].dtype, "fp8:0,2-4");
  EXPECT_EQ((*kept)[1].of_layers, 6u);
  EXPECT_EQ((*kept)[2].of_layers, 0u);
  for (const char* wanted : {"auto", "fp8"})
    EXPECT_EQ(dtype_at_once(wanted, card, source_), "fp8:0,2-4");
  EXPECT_EQ(*dtype_for_serving("fp8", card, "m", source_), "fp8:0,2-4");
  for (const char* wanted : {"bfloat16", "fp8:1", "fp8:0-5"})
    EXPECT_EQ(dtype_at_once(wanted, card, source_), wanted);
  EXPECT_EQ(dtype_at_once("fp8", {program_}, source_), "fp8") << "of another computer";
  ASSERT_TRUE(keep_precisions(card, source_, std::vector{measured[0], all}).ok());
  EXPECT_EQ(dtype_at_once("fp8", card, source_), "fp8") << "none were accurate";
}

TEST_F(Kept, AreOfOneModelPoolingAndProgram) {
  ASSERT_TRUE(keep_precisions({program_}, source_, some_).ok());
  EXPECT_FALSE(kept_precisions({program_}, {source_.folder, "cls"}));
  EXPECT_FALSE(kept_precisions({folder_ + "/no-program"}, source_));
  write("model/model.safetensors");
  EXPECT_FALSE(kept_precisions({program_}, source_));
}

TEST_F(Kept, AreOfFilesInFoldersOfTheModelToo) {
  std::filesystem::create_directories(source_.folder + "/1_Pooling");
  ASSERT_TRUE(keep_precisions({program_}, source_, some_).ok());
  EXPECT_TRUE(kept_precisions({program_}, source_));
  write("model/1_Pooling/config.json");
  EXPECT_FALSE(kept_precisions({program_}, source_));
}

TEST_F(Kept, WithNamesThatAreNotUtf8) {
  write("model/\xff\xfe.txt");
  ASSERT_TRUE(keep_precisions({program_}, source_, some_).ok());
  EXPECT_TRUE(kept_precisions({program_}, source_));
}

TEST_F(Kept, UnsoundOnesAreNone) {
  const Precision exact = precision("float32", 100);
  for (const std::vector<Precision>& unsound :
       std::vector<std::vector<Precision>>{{},
                                           {precision("int8", 100)},
                                           {precision("float32", 0), precision("int8", 100)},
                                           {exact, precision("int8", -1)},
                                           {exact, precision("int8", 1e300)},
                                           {exact, precision("int8", 200, 1.5)},
                                           {exact, precision("fp8:0,2", 200)},
                                           {exact, some_layers("fp8:0,2", 2)},
                                           {exact, some_layers("fp8", 2)},
                                           {exact, some_layers("fp8:2,0", 6)},
                                           {exact, precision("int8", 200, 1, std::nan(""))}}) {
    ASSERT_TRUE(keep_precisions({program_}, source_, unsound).ok());
    EXPECT_FALSE(kept_precisions({program_}, source_));
  }
}

TEST_F(Kept, AFolderOrTooMuchInTheirPlaceIsNone) {
  ASSERT_TRUE(keep_precisions({program_}, source_, some_).ok());
  const std::filesystem::path file =
      std::filesystem::directory_iterator(folder_ + "/cache/precisions")->path();
  std::ofstream(file) << std::string(2 << 20, '[');
  EXPECT_FALSE(kept_precisions({program_}, source_));
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_FALSE(kept_precisions({program_}, source_));
}

TEST_F(Kept, CannotBeKeptInAFile) {
  ::setenv("SHEAF_CACHE", program_.c_str(), 1);
  EXPECT_FALSE(keep_precisions({program_}, source_, some_).ok());
}

}  // namespace
}  // namespace sheaf::cli
