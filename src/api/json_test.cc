// Reading and writing of JSON: json_in.cc, json_out.cc.
#include <gtest/gtest.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>

#include "api/http.h"
#include "api/json_fault.h"
#include "api/json_in.h"
#include "api/json_out.h"

namespace sheaf::api {
namespace {

std::string padded(std::string body) {
  body.reserve(body.size() + kBodyPadding);
  return body;
}

Result<std::vector<router::Input>> inputs_of(const std::string& json,
                                             InputRules rules = {true, 4}) {
  const std::string body = padded("{\"input\":" + json + "}");
  const auto object = parse_json_object(body);
  if (!object.ok()) return object.error();
  for (const auto& [key, value] : *object) return read_inputs(key, value, rules);
  return Error{ErrorCode::internal, "no field"};
}

TEST(JsonOutTest, FloatsReadBackAsTheyWere) {
  std::mt19937 random(7);
  std::vector<float> values = {0.0f,
                               -0.0f,
                               1.0f,
                               -1.0f,
                               0.1f,
                               1e-5f,
                               16777216.0f,
                               std::numeric_limits<float>::max(),
                               std::numeric_limits<float>::lowest(),
                               std::numeric_limits<float>::min(),
                               std::numeric_limits<float>::denorm_min()};
  while (values.size() < 20'000) {
    const float value = std::bit_cast<float>(std::uint32_t(random()));
    if (std::isfinite(value)) values.push_back(value);
  }
  std::string out = "x";
  append_floats(out, values);
  ASSERT_EQ(out.front(), 'x');
  ASSERT_EQ(out[1], '[');
  ASSERT_EQ(out.back(), ']');
  const char* at = out.data() + 2;
  for (const float value : values) {
    float read = 0;
    const auto [end, error] = std::from_chars(at, out.data() + out.size(), read);
    ASSERT_EQ(error, std::errc());
    ASSERT_EQ(std::bit_cast<std::uint32_t>(read), std::bit_cast<std::uint32_t>(value));
    at = end + 1;
  }
  EXPECT_EQ(at, out.data() + out.size());
}

TEST(JsonOutTest, FloatsAreShortAndJson) {
  std::string out;
  const float values[] = {0.1f, -0.25f, 3.0f, 1e-7f, NAN, INFINITY, -INFINITY};
  append_floats(out, values);
  EXPECT_EQ(out, "[0.1,-0.25,3,1e-07,null,null,null]");
  out.clear();
  append_floats(out, {});
  EXPECT_EQ(out, "[]");
}

TEST(JsonOutTest, Base64) {
  const auto encode = [](std::vector<float> values) {
    std::string out = "<";
    append_base64(out, values);
    return out;
  };
  EXPECT_EQ(encode({}), "<");
  EXPECT_EQ(encode({1.0f}), "<AACAPw==");
  EXPECT_EQ(encode({1.0f, -2.0f}), "<AACAPwAAAMA=");
  EXPECT_EQ(encode({1.0f, -2.0f, 0.5f}), "<AACAPwAAAMAAAAA/");
}

TEST(JsonInTest, InputsInAllForms) {
  EXPECT_EQ(std::get<std::string>((*inputs_of("\"a\""))[0]), "a");
  EXPECT_EQ(inputs_of("[\"a\",\"b\"]")->size(), 2u);
  const auto one = inputs_of("[1,2,3]");
  ASSERT_EQ(one->size(), 1u);
  EXPECT_EQ(std::get<std::vector<std::int32_t>>((*one)[0]).size(), 3u);
  const auto mixed = inputs_of("[\"a\",[1,2],\"\"]");
  ASSERT_EQ(mixed->size(), 3u);
  EXPECT_EQ(std::get<std::vector<std::int32_t>>((*mixed)[1])[1], 2);
  EXPECT_TRUE(inputs_of("[]")->empty());
}

TEST(JsonInTest, ABrokenTextIsToldFromABrokenBody) {
  const auto message = [](std::string_view body) {
    return parse_json_object(body).error().message;
  };
  EXPECT_NE(message(R"({"input":"\ud83d"})").find("half of a surrogate pair"), std::string::npos);
  EXPECT_EQ(message("{\"input\":").find("surrogate"), std::string::npos);
}

TEST(JsonInTest, ABrokenBodySaysWhere) {
  const auto place = [](const std::string& text) -> std::string {
    const std::string body = padded(text);
    const std::string message = parse_json_object(body).error().message;
    const std::size_t at = message.find("line ");
    return at == message.npos ? message : message.substr(at, message.find(':', at) - at);
  };
  EXPECT_EQ(place(R"({"input" "some text"})"), "line 1, column 10");
  EXPECT_EQ(place(R"({"input": "a" 12345})"), "line 1, column 15");
  EXPECT_EQ(place("{\n  \"input\": \"a\",\n  nonsense\n}"), "line 3, column 4");
  EXPECT_EQ(place(R"({"input": "a")"), "line 1, column 14");  // one beyond the end
  EXPECT_EQ(place("{}{"), "line 1, column 3");
  EXPECT_EQ(place(R"({"input": "\ud83d"})"), "line 1, column 18");
  EXPECT_EQ(place("{\"input\": \"a\xff\"}"), "line 1, column 13");
  EXPECT_EQ(place("{\"input\": \"" + std::string(2 << 20, 'a')).find("line"), std::string::npos);
}

// What one parser refuses the other may take.
TEST(JsonInTest, WhereNoFaultIsFoundNoneIsNamed) {
  EXPECT_EQ(place_of_json_fault(R"({"input": "a"})"), "");
  EXPECT_EQ(place_of_json_fault(std::string(1000, '[') + std::string(1000, ']')), "");
  EXPECT_EQ(place_of_json_fault(""), ", line 1, column 1");
}

TEST(JsonInTest, WrongInputsAreNamed) {
  const auto message = [](const std::string& json, InputRules rules = {true, 4}) {
    const auto result = inputs_of(json, rules);
    return result.ok() ? std::string("accepted") : result.error().message;
  };
  EXPECT_EQ(message("7"), "input is a number; a text or a list of token ids is expected");
  const InputRules no_ids = {false, 4};
  EXPECT_EQ(message("7", no_ids), "input is a number; a text or a list of texts is expected");
  EXPECT_EQ(message("[{}]", no_ids), "input[0] is an object; a text is expected");
  EXPECT_EQ(message("true"), "input is a boolean; a text or a list of token ids is expected");
  EXPECT_EQ(message("[\"a\",{}]"),
            "input[1] is an object; a text or a list of token ids is expected");
  EXPECT_EQ(message("[1,\"a\"]"), "input[1] is a text; a token id is expected");
  EXPECT_EQ(message("[1.5]"), "input[0] is a number; a token id is expected");
  EXPECT_EQ(message("[[1],[-1]]"), "input[1][0] is -1, which is no token id");
  EXPECT_EQ(message("[[1],[[2]]]"), "input[1][0] is a list; a token id is expected");
  EXPECT_EQ(message("[[]]"), "input[0] is an empty list of token ids");
  EXPECT_EQ(message("[\"a\",\"a\",\"a\",\"a\",\"a\"]"),
            "input holds 5 texts; a request may hold 4");
  EXPECT_NE(message("[1]", {false, 4}).find("check_embedding_ctx_length"), std::string::npos);
}

TEST(JsonInTest, BodiesOfAnySizeAreParsedOneAfterAnother) {
  for (const std::size_t bytes : {0u, 10u, 3u << 20, 10u, 5u << 20, 2u << 20, 1000u}) {
    const auto inputs = inputs_of("\"" + std::string(bytes, 'x') + "\"");
    ASSERT_TRUE(inputs.ok());
    EXPECT_EQ(std::get<std::string>((*inputs)[0]).size(), bytes);
  }
}

TEST(JsonInTest, EscapesBecomeText) {
  EXPECT_EQ(std::get<std::string>((*inputs_of(R"("\u00e9\ud83d\ude00\n\u0000")"))[0]),
            std::string("é😀\n\0", 8));
}

}  // namespace
}  // namespace sheaf::api
