#include "api/example.h"

#include <gtest/gtest.h>

#include "api/fake_router.h"

namespace sheaf::api {
namespace {

TEST(CurlExamples, OneForEachKindOfModelServed) {
  boost::asio::io_context io;
  FakeRouter router(io);
  const std::string url = "http://127.0.0.1:8080";
  EXPECT_EQ(curl_examples(router, url, ""),
            "curl -s http://127.0.0.1:8080/v1/embeddings -H 'content-type: application/json' \\\n"
            "  -d '{\"input\": \"What is a sheaf?\", \"model\": \"org/model\"}'\n");
  router.serve_classifiers();
  const std::string all = curl_examples(router, url, "$KEY");
  for (const char* part :
       {"/v1/embeddings -H \"authorization: Bearer $KEY\"", "/rerank -H",
        "\"model\": \"org/reranker\"", "/predict -H", "\"model\": \"org/classifier\""})
    EXPECT_NE(all.find(part), std::string::npos) << part << " in\n" << all;
}

}  // namespace
}  // namespace sheaf::api
