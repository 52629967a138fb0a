#include "api/tei_grpc.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <utility>

#include "api/grpc_call.h"
#include "api/grpc_stream.h"
#include "api/tei_methods.h"
#include "tei.grpc.pb.h"

namespace sheaf::api {
namespace {

namespace pb = tei::v1;
using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using RankReactor = grpc::ServerReadReactor<ByteBuffer>;

// A RerankStream: its messages are read to the last, then ranked as one request.
class RankCall final : public OneAnswerCall<RankReactor> {
 public:
  RankCall(GrpcCaller caller, CallGate& gate, CallbackServerContext& rpc, ByteBuffer& out)
      : OneAnswerCall(caller.context, gate, rpc, out), caller_(std::move(caller)) {}

  void start() { StartRead(&in_); }

  void OnReadDone(bool ok) override {
    if (taken()) return;
    if (!ok) {
      if (reading_.exchange(false)) began(rank(caller_, std::move(ranking_), responder()));
      return;
    }
    const Status added = add_to_ranking(caller_, in_, ranking_);
    if (added.ok()) return StartRead(&in_);
    refusal_status(caller_.context, added.error());
    answer(added.error());
  }

  void close() override {
    if (reading_.exchange(false)) answer(closed_gate());
  }

 private:
  const GrpcCaller caller_;
  std::atomic<bool> reading_ = true;  // whoever ends it says how the call goes on
  ByteBuffer in_;
  TeiRanking ranking_;  // of reactions, which come one after another
};

// What the services' methods are made of.
class Calls {
 public:
  Calls(const Context& context, CallGate& gate, StreamRoom& room)
      : context_(context), gate_(gate), room_(room) {}

  ServerUnaryReactor* unary(CallbackServerContext& rpc, const GrpcMethod& method,
                            const ByteBuffer& in, ByteBuffer& out) const {
    const Result<GrpcCaller> caller = read_caller(context_, rpc);
    if (!caller.ok()) return refuse<ServerUnaryReactor>(caller.error());
    const auto call = std::make_shared<UnaryCall>(context_, gate_, rpc, out);
    if (!call->enter()) return refuse<ServerUnaryReactor>(closed_gate());
    call->began(method.begin(*caller, in, call->responder()));
    return call.get();
  }

  StreamReactor* stream(const CallbackServerContext& rpc, const GrpcMethod& method) const {
    Result<GrpcCaller> caller = read_caller(context_, rpc);
    if (!caller.ok()) return refuse<StreamReactor>(caller.error());
    return answer_stream(std::move(*caller), gate_, room_, method);
  }

  RankReactor* rank_stream(CallbackServerContext& rpc, ByteBuffer& out) const {
    Result<GrpcCaller> caller = read_caller(context_, rpc);
    if (!caller.ok()) return refuse<RankReactor>(caller.error());
    const auto call = std::make_shared<RankCall>(std::move(*caller), gate_, rpc, out);
    if (!call->enter()) return refuse<RankReactor>(closed_gate());
    call->start();
    return call.get();
  }

 private:
  template <class Reactor>
  Reactor* refuse(const Error& error) const {
    return refused<Reactor>(refusal_status(context_, error));
  }

  const Context& context_;
  CallGate& gate_;
  StreamRoom& room_;
};

using InfoMethods = pb::Info::WithRawCallbackMethod_Info<pb::Info::Service>;

class InfoService final : public InfoMethods {
 public:
  explicit InfoService(Calls calls) : calls_(calls) {}
  ServerUnaryReactor* Info(CallbackServerContext* rpc, const ByteBuffer* in,
                           ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.info, *in, *out);
  }

 private:
  const Calls calls_;
};

using EmbedMethods = pb::Embed::WithRawCallbackMethod_Embed<
    pb::Embed::WithRawCallbackMethod_EmbedStream<pb::Embed::WithRawCallbackMethod_EmbedSparse<
        pb::Embed::WithRawCallbackMethod_EmbedSparseStream<
            pb::Embed::WithRawCallbackMethod_EmbedAll<
                pb::Embed::WithRawCallbackMethod_EmbedAllStream<pb::Embed::Service>>>>>>;

class EmbedService final : public EmbedMethods {
 public:
  explicit EmbedService(Calls calls) : calls_(calls) {}
  ServerUnaryReactor* Embed(CallbackServerContext* rpc, const ByteBuffer* in,
                            ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.embed, *in, *out);
  }
  StreamReactor* EmbedStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.embed);
  }
  ServerUnaryReactor* EmbedSparse(CallbackServerContext* rpc, const ByteBuffer* in,
                                  ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.embed_sparse, *in, *out);
  }
  StreamReactor* EmbedSparseStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.embed_sparse);
  }
  ServerUnaryReactor* EmbedAll(CallbackServerContext* rpc, const ByteBuffer* in,
                               ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.embed_all, *in, *out);
  }
  StreamReactor* EmbedAllStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.embed_all);
  }

 private:
  const Calls calls_;
};

using PredictMethods = pb::Predict::WithRawCallbackMethod_Predict<
    pb::Predict::WithRawCallbackMethod_PredictPair<pb::Predict::WithRawCallbackMethod_PredictStream<
        pb::Predict::WithRawCallbackMethod_PredictPairStream<pb::Predict::Service>>>>;

class PredictService final : public PredictMethods {
 public:
  explicit PredictService(Calls calls) : calls_(calls) {}
  ServerUnaryReactor* Predict(CallbackServerContext* rpc, const ByteBuffer* in,
                              ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.predict, *in, *out);
  }
  ServerUnaryReactor* PredictPair(CallbackServerContext* rpc, const ByteBuffer* in,
                                  ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.predict_pair, *in, *out);
  }
  StreamReactor* PredictStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.predict);
  }
  StreamReactor* PredictPairStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.predict_pair);
  }

 private:
  const Calls calls_;
};

using RerankMethods = pb::Rerank::WithRawCallbackMethod_Rerank<
    pb::Rerank::WithRawCallbackMethod_RerankStream<pb::Rerank::Service>>;

class RerankService final : public RerankMethods {
 public:
  explicit RerankService(Calls calls) : calls_(calls) {}
  ServerUnaryReactor* Rerank(CallbackServerContext* rpc, const ByteBuffer* in,
                             ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.rerank, *in, *out);
  }
  RankReactor* RerankStream(CallbackServerContext* rpc, ByteBuffer* out) override {
    return calls_.rank_stream(*rpc, *out);
  }

 private:
  const Calls calls_;
};

using TokenizeMethods = pb::Tokenize::WithRawCallbackMethod_Tokenize<
    pb::Tokenize::WithRawCallbackMethod_TokenizeStream<pb::Tokenize::WithRawCallbackMethod_Decode<
        pb::Tokenize::WithRawCallbackMethod_DecodeStream<pb::Tokenize::Service>>>>;

class TokenizeService final : public TokenizeMethods {
 public:
  explicit TokenizeService(Calls calls) : calls_(calls) {}
  ServerUnaryReactor* Tokenize(CallbackServerContext* rpc, const ByteBuffer* in,
                               ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.tokenize, *in, *out);
  }
  StreamReactor* TokenizeStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.tokenize);
  }
  ServerUnaryReactor* Decode(CallbackServerContext* rpc, const ByteBuffer* in,
                             ByteBuffer* out) override {
    return calls_.unary(*rpc, kTeiMethods.decode, *in, *out);
  }
  StreamReactor* DecodeStream(CallbackServerContext* rpc) override {
    return calls_.stream(*rpc, kTeiMethods.decode);
  }

 private:
  const Calls calls_;
};

class AllServices final : public TeiServices {
 public:
  explicit AllServices(Calls calls)
      : info_(calls), embed_(calls), predict_(calls), rerank_(calls), tokenize_(calls) {}
  std::vector<grpc::Service*> all() override {
    return {&info_, &embed_, &predict_, &rerank_, &tokenize_};
  }

 private:
  InfoService info_;
  EmbedService embed_;
  PredictService predict_;
  RerankService rerank_;
  TokenizeService tokenize_;
};

template <class Fits>
bool serves(const router::Router& router, Fits fits) {
  const auto models = router.models();
  return std::any_of(models.begin(), models.end(),
                     [&](const router::ModelInfo* model) { return fits(model->spec); });
}

}  // namespace

std::unique_ptr<TeiServices> TeiServices::create(const Context& context, CallGate& gate,
                                                 StreamRoom& room) {
  return std::make_unique<AllServices>(Calls(context, gate, room));
}

std::vector<std::string> TeiServices::names() {
  return {pb::Info::service_full_name(), pb::Embed::service_full_name(),
          pb::Predict::service_full_name(), pb::Rerank::service_full_name(),
          pb::Tokenize::service_full_name()};
}

std::vector<std::string> TeiServices::modelless() {
  return {pb::Info::service_full_name(), pb::Tokenize::service_full_name()};
}

std::vector<std::string> TeiServices::answered_by(const router::Router& router) {
  const auto embeds = [](const model::ModelSpec& s) { return s.task() == model::Task::embed; };
  const auto predicts = [](const model::ModelSpec& s) { return s.task() == model::Task::classify; };
  const auto reranks = [](const model::ModelSpec& s) { return s.is_reranker(); };
  std::vector<std::string> names;
  if (serves(router, embeds)) names.emplace_back(pb::Embed::service_full_name());
  if (serves(router, predicts)) names.emplace_back(pb::Predict::service_full_name());
  if (serves(router, reranks)) names.emplace_back(pb::Rerank::service_full_name());
  return names;
}

}  // namespace sheaf::api
