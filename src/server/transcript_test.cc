// HTTP sessions kept as text files; src/server/transcripts/openai.txt explains their form.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "server/server_test.h"

namespace sheaf::server {
namespace {

struct Exchange {
  int line = 0;
  std::vector<std::string> sent, expected, forbidden;
};

std::vector<Exchange> read_transcript(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.good()) << path;
  std::vector<Exchange> exchanges;
  bool sending = false;
  int number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line.starts_with('>')) {
      if (!std::exchange(sending, true)) exchanges.emplace_back().line = number;
      exchanges.back().sent.push_back(line.size() > 1 ? line.substr(2) : "");
    } else if (line.starts_with("<! ")) {
      exchanges.back().forbidden.push_back(line.substr(3));
    } else if (line.starts_with('<')) {
      sending = false;
      exchanges.back().expected.push_back(line.substr(2));
    }
  }
  return exchanges;
}

std::string request_of(const Exchange& exchange) {
  std::string out = exchange.sent[0] + " HTTP/1.1\r\nHost: t\r\n";
  std::size_t at = 1;
  for (; at < exchange.sent.size() && !exchange.sent[at].empty(); ++at) {
    out += exchange.sent[at] + "\r\n";
  }
  std::string body;
  for (++at; at < exchange.sent.size(); ++at) body += exchange.sent[at];
  if (exchange.sent[0].starts_with("POST")) {
    out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  return out + "\r\n" + body;
}

class TranscriptTest : public testing::TestWithParam<const char*> {};

// All exchanges of a file over one kept-alive connection.
TEST_P(TranscriptTest, Replays) {
  TestServer server;
  server.router.serve_classifiers();
  TestClient client = server.client();
  const std::string path = std::string(SHEAF_SOURCE_DIR "/src/server/transcripts/") + GetParam();
  const std::vector<Exchange> exchanges = read_transcript(path);
  ASSERT_GT(exchanges.size(), 5u);
  for (const Exchange& exchange : exchanges) {
    SCOPED_TRACE(path + ":" + std::to_string(exchange.line));
    client.send(request_of(exchange));
    const auto response = client.read(exchange.sent[0].starts_with("HEAD"));
    ASSERT_TRUE(response.has_value());
    const std::string all = response->head + response->body;
    EXPECT_EQ(std::to_string(response->status), exchange.expected[0]) << all;
    for (std::size_t i = 1; i < exchange.expected.size(); ++i) {
      EXPECT_NE(all.find(exchange.expected[i]), std::string::npos)
          << "missing: " << exchange.expected[i] << "\nin: " << all;
    }
    for (const std::string& text : exchange.forbidden) {
      EXPECT_EQ(all.find(text), std::string::npos) << all;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Files, TranscriptTest,
                         testing::Values("openai.txt", "tei.txt", "cohere.txt", "ollama.txt",
                                         "rerank.txt", "predict.txt", "status.txt"));

}  // namespace
}  // namespace sheaf::server
