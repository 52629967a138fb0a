#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "api/grpc_method.h"

// What TEI's methods over gRPC (proto/tei.proto) do with one message. Errors are those of the same
// route over HTTP, with the statuses of errors.cc.
namespace sheaf::api {

struct TeiMethods {
  GrpcMethod info, embed, embed_sparse, embed_all, predict, predict_pair, rerank, tokenize, decode;
};
extern const TeiMethods kTeiMethods;

// Texts to be ranked together, of a RerankRequest or of a RerankStream's messages.
struct TeiRanking {
  std::vector<router::Input> pairs;  // of a query and a text
  std::size_t bytes = 0;             // of texts and queries, each as often as it was sent
  bool truncate = false;
  tokenizer::Side side = tokenizer::Side::right;
  bool raw = false;
  bool return_text = false;
};
// Adds a RerankStream's message. All must agree on truncation, since the model reads them as one
// request; of raw_scores and return_text the first message's count.
Status add_to_ranking(const GrpcCaller& caller, const grpc::ByteBuffer& message,
                      TeiRanking& ranking);
// Answers with a RerankResponse.
core::RequestId rank(const GrpcCaller& caller, TeiRanking ranking, const GrpcRespond& respond);

}  // namespace sheaf::api
