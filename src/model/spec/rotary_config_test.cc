#include "model/spec/rotary_config.h"

#include <gtest/gtest.h>

#include "model/spec/model_folder_fixture.h"
#include "model/spec/spec_json.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

class RotaryConfigTest : public ModelFolderTest {
 protected:
  void use(const std::string& family) { ModelFolderTest::use("families/" + family); }
  void set(const std::string& field, const json& value) {
    ModelFolderTest::set("config.json", field, value);
  }
  void remove(const std::string& field) { ModelFolderTest::remove("config.json", field); }
  // In rope_parameters, or in its part of the layers that see everything.
  void set_rope(const std::string& field, const json& value) {
    json rope = read("config.json")["rope_parameters"];
    json& part = rope.contains("full_attention") ? rope["full_attention"] : rope;
    value.is_discarded() ? void(part.erase(field)) : void(part[field] = value);
    set("rope_parameters", rope);
  }
  RotarySpec rotary() {
    const auto spec = read_spec(folder_);
    EXPECT_TRUE(spec.ok()) << spec.error().message;
    return spec.ok() ? spec->rotary : RotarySpec();
  }
};

const json kAbsent = json(json::value_t::discarded);

TEST_F(RotaryConfigTest, SurvivesThePackedFile) {
  for (const char* family : {"qwen3_yarn", "qwen2_yarn", "modernbert_yarn", "phi3"}) {
    use(family);
    const auto spec = read_spec(folder_);
    ASSERT_TRUE(spec.ok()) << spec.error().message;
    EXPECT_EQ(to_json(*spec_from_json(to_json(*spec), "f")), to_json(*spec));
  }
}

TEST_F(RotaryConfigTest, YarnHasTheUsualNumbersWhereNothingIsSaid) {
  use("qwen3_yarn");
  EXPECT_EQ(rotary().high_turns, 2);
  set_rope("beta_fast", kAbsent);
  const RotarySpec usual = rotary();
  EXPECT_EQ(usual.scaling, RotaryScaling::yarn);
  EXPECT_EQ(usual.high_turns, 32);
  EXPECT_EQ(usual.low_turns, 1);
  EXPECT_TRUE(usual.whole_pairs);
  EXPECT_NEAR(usual.amplitude, 1 + 0.1 * std::log(2.0), 1e-12);
  set_rope("beta_fast", 0);
  EXPECT_EQ(rotary().high_turns, 32) << "0 is as good as nothing";
  set_rope("factor", nullptr);
  EXPECT_EQ(rotary().factor, 2) << "of 64 positions, 32 trained";
  set_rope("original_max_position_embeddings", kAbsent);
  EXPECT_EQ(rotary().trained_positions, 64);
  set("original_max_position_embeddings", 16);
  EXPECT_EQ(rotary().trained_positions, 16);
  set_rope("truncate", nullptr);
  EXPECT_FALSE(rotary().whole_pairs);
}

TEST_F(RotaryConfigTest, AnAttentionFactorGoesBeforeItsMakings) {
  use("qwen2_yarn");
  const double from_both = (1 + 0.07 * std::log(5.0)) / (1 + 0.21 * std::log(5.0));
  EXPECT_NEAR(rotary().amplitude, from_both, 1e-12);
  EXPECT_FALSE(rotary().whole_pairs);
  set_rope("mscale", 0);
  EXPECT_NEAR(rotary().amplitude, 1 + 0.1 * std::log(5.0), 1e-12) << "one alone does nothing";
  set_rope("attention_factor", 1.5);
  EXPECT_EQ(rotary().amplitude, 1.5);
}

TEST_F(RotaryConfigTest, TheOlderFieldCountsWhereBothAreThere) {
  use("qwen3_yarn");
  set("rope_theta", 77);
  set("rope_scaling", {{"type", "linear"}, {"factor", 3}});
  EXPECT_EQ(rotary().scaling, RotaryScaling::linear);
  EXPECT_EQ(rotary().theta, 77);
  set("rope_scaling", json::object());
  EXPECT_EQ(rotary().scaling, RotaryScaling::yarn);
  use("modernbert_yarn");
  set("rope_scaling", {{"type", "linear"}, {"factor", 3}});
  EXPECT_EQ(rotary().scaling, RotaryScaling::linear);
  EXPECT_EQ(rotary().theta, 30) << "of the part of these layers";
  EXPECT_EQ(read_spec(folder_)->local_rotary.scaling, RotaryScaling::linear);
}

TEST_F(RotaryConfigTest, Phi3IsReadUnderItsOlderNames) {
  use("phi3");
  const RotarySpec longrope = rotary();
  EXPECT_EQ(longrope.scaling, RotaryScaling::longrope);
  EXPECT_EQ(longrope.fraction, 0.75);
  EXPECT_EQ(longrope.trained_positions, 16);
  EXPECT_EQ(longrope.long_factors, (std::vector<double>{1.5, 2.5, 4.5}));
  EXPECT_NEAR(longrope.amplitude, std::sqrt(1 + std::log(2.5) / std::log(16.0)), 1e-12);
  for (const char* name : {"su", "yarn"}) {
    set_rope("rope_type", name);
    EXPECT_EQ(rotary().scaling, RotaryScaling::longrope);
  }
  remove("original_max_position_embeddings");
  EXPECT_EQ(rotary().trained_positions, 4096) << "whatever rope_parameters say";
  EXPECT_EQ(rotary().amplitude, 1);
}

TEST_F(RotaryConfigTest, WhatCannotBeIsRefusedNamingTheField) {
  const struct {
    const char* family;
    const char* field;
    json value;
  } cases[] = {
      {"qwen3_yarn", "rope_type", "proportional"},
      {"qwen3_yarn", "rope_theta", 1},
      {"qwen3_yarn", "factor", 0.5},
      {"qwen3_yarn", "factor", "2"},
      {"qwen3_yarn", "beta_fast", 0.5},  // below beta_slow
      {"qwen3_yarn", "beta_slow", -1},
      {"qwen3_yarn", "truncate", 1},
      {"qwen3_yarn", "mscale", "1"},
      {"qwen3_yarn", "attention_factor", -1},
      {"qwen3_yarn", "original_max_position_embeddings", 0},
      {"qwen3_yarn", "partial_rotary_factor", 0.5},
      {"mistral_longrope", "short_factor", kAbsent},
      {"mistral_longrope", "short_factor", {1, 2}},
      {"mistral_longrope", "long_factor", {1, 2, 0}},
      {"mistral_longrope", "long_factor", {1, "2", 3}},
      {"mistral_longrope", "long_factor", {1, 2, 1e9}},
      {"mistral_longrope", "original_max_position_embeddings", 1},
      {"phi3", "rope_type", "linear"},
      {"phi3", "partial_rotary_factor", 0.4},  // 3 of 8
      {"phi3", "partial_rotary_factor", 0},
      {"phi3", "partial_rotary_factor", 1.5},
      {"modernbert_yarn", "beta_fast", "32"},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(std::string(c.family) + " " + c.field + " " + c.value.dump());
    use(c.family);
    set_rope(c.field, c.value);
    const std::string message = refusal();
    EXPECT_NE(message.find("config.json: field 'rope_parameters."), std::string::npos) << message;
    EXPECT_NE(message.find(c.field), std::string::npos) << message;
  }
  use("llama");  // at the top, as older files have it
  set("partial_rotary_factor", 0.5);
  EXPECT_NE(refusal().find("field 'partial_rotary_factor' is 0.5"), std::string::npos);
}

// The packed file too is read with care.
TEST_F(RotaryConfigTest, FactorsThatDoNotFitTheHeadsAreRefusedOfAPackedModel) {
  use("phi3");
  ModelSpec spec = *read_spec(folder_);
  spec.local_rotary.long_factors.pop_back();
  EXPECT_FALSE(spec_from_json(to_json(spec), "f").ok());
}

}  // namespace
}  // namespace sheaf::model
