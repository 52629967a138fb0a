#include "api/tei_methods.h"

#include <fmt/format.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

#include "api/embed.h"
#include "api/predict.h"
#include "api/score.h"
#include "api/tei_body.h"
#include "api/tokens.h"
#include "base/utf8.h"
#include "tei.pb.h"

namespace sheaf::api {
namespace {

namespace pb = tei::v1;

// Of a RerankStream, whose texts wait for the last one: as much as an HTTP body may have.
constexpr std::size_t kRankedBytesMax = 32u << 20;

// ---- messages

template <class In>
Result<In> parse(const grpc::ByteBuffer& message) {
  In in;
  grpc::ByteBuffer bytes = message;
  if (grpc::SerializationTraits<In>::Deserialize(&bytes, &in).ok()) return in;
  return Error{ErrorCode::invalid_argument,
               fmt::format("the message of {} bytes is no {} (is a text in it not UTF-8?)",
                           message.Length(), In::descriptor()->full_name())};
}

template <class Out>
grpc::ByteBuffer to_bytes(const Out& out) {
  grpc::ByteBuffer bytes;
  bool own = false;
  grpc::SerializationTraits<Out>::Serialize(out, &bytes, &own);
  return bytes;
}

Result<tokenizer::Side> side_of(pb::TruncationDirection direction) {
  if (direction == pb::TRUNCATION_DIRECTION_RIGHT) return tokenizer::Side::right;
  if (direction == pb::TRUNCATION_DIRECTION_LEFT) return tokenizer::Side::left;
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("truncation_direction is {}; 0 (right) or 1 (left) is expected", int(direction)),
      "truncation_direction"};
}

pb::Metadata metadata_of(const router::EmbedReply& reply) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
  const auto nanoseconds = [](TimeUs us) { return std::uint64_t(us) * 1000; };
  pb::Metadata out;
  out.set_compute_chars(std::uint32_t(std::min(reply.characters, kMost)));
  out.set_compute_tokens(std::uint32_t(std::min(reply.total_tokens, kMost)));
  out.set_total_time_ns(nanoseconds(reply.timings.total_us));
  out.set_tokenization_time_ns(nanoseconds(reply.timings.tokenize_us));
  out.set_queue_time_ns(nanoseconds(reply.timings.queue_us));
  out.set_inference_time_ns(nanoseconds(reply.timings.compute_us));
  return out;
}

// ---- methods that a model answers

// A message read: what the router is to do, and what is made of its reply.
struct Job {
  router::EmbedRequest request;
  std::function<grpc::ByteBuffer(const router::EmbedReply&)> write;
};

core::RequestId refuse(const GrpcCaller& caller, const Error& error, const GrpcRespond& respond) {
  note_refusal(caller.context, "of gRPC", error);
  respond(error);
  return 0;
}

core::RequestId run(const GrpcCaller& caller, Job job, const GrpcRespond& respond) {
  return caller.context.router.embed(
      std::move(job.request), [&context = caller.context, write = std::move(job.write),
                               respond](Result<router::EmbedReply> reply) {
        if (!reply.ok()) return respond(std::move(reply).error());
        GrpcAnswer answer{
            {}, std::move(reply->model), std::move(reply->replica), std::move(reply->slice)};
        {
          const telemetry::StageTimer timer(context.metrics, telemetry::Stage::encode);
          answer.message = write(*reply);
        }
        respond(std::move(answer));
      });
}

template <class In, Result<Job> (*read)(const GrpcCaller&, In&)>
core::RequestId routed(const GrpcCaller& caller, const grpc::ByteBuffer& message,
                       const GrpcRespond& respond) {
  Result<Job> job = [&]() -> Result<Job> {
    const telemetry::StageTimer timer(caller.context.metrics, telemetry::Stage::parse);
    SHEAF_ASSIGN(In in, parse<In>(message));
    return read(caller, in);
  }();
  if (!job.ok()) return refuse(caller, job.error(), respond);
  return run(caller, std::move(*job), respond);
}

// What all messages say.
template <class In>
Result<router::EmbedRequest> begin_request(const GrpcCaller& caller, const In& in) {
  router::EmbedRequest request;
  request.model = caller.model;
  request.tenant = caller.tenant;
  request.stream = caller.stream;
  request.deadline_us = caller.deadline_us;
  request.names.list = "inputs";
  request.truncate = in.truncate();
  SHEAF_ASSIGN(request.truncation_side, side_of(in.truncation_direction()));
  return request;
}

template <class In>
Result<router::EmbedRequest> begin_embed(const GrpcCaller& caller, In& in, model::Output output) {
  SHEAF_ASSIGN(router::EmbedRequest request, begin_request(caller, in));
  request.output = output;
  request.inputs.emplace_back(std::move(*in.mutable_inputs()));
  if (in.has_prompt_name()) request.prompt_name = in.prompt_name();
  return request;
}

Result<Job> read_embed(const GrpcCaller& caller, pb::EmbedRequest& in) {
  SHEAF_ASSIGN(router::EmbedRequest request, begin_embed(caller, in, model::Output::vector));
  request.normalize = in.has_normalize() ? in.normalize() : true;
  if (in.has_dimensions()) request.dimensions = in.dimensions();
  return Job{std::move(request), [](const router::EmbedReply& reply) {
               pb::EmbedResponse out;
               out.mutable_embeddings()->Add(reply.vectors.begin(), reply.vectors.end());
               *out.mutable_metadata() = metadata_of(reply);
               return to_bytes(out);
             }};
}

Result<Job> read_embed_sparse(const GrpcCaller& caller, pb::EmbedSparseRequest& in) {
  SHEAF_ASSIGN(router::EmbedRequest request, begin_embed(caller, in, model::Output::sparse));
  return Job{std::move(request), [](const router::EmbedReply& reply) {
               pb::EmbedSparseResponse out;
               const std::vector<float>& row = reply.rows.front();
               for (std::size_t i = 0; i + 1 < row.size(); i += 2) {
                 pb::SparseValue& value = *out.add_sparse_embeddings();
                 value.set_index(std::uint32_t(row[i]));
                 value.set_value(row[i + 1]);
               }
               *out.mutable_metadata() = metadata_of(reply);
               return to_bytes(out);
             }};
}

Result<Job> read_embed_all(const GrpcCaller& caller, pb::EmbedAllRequest& in) {
  SHEAF_ASSIGN(router::EmbedRequest request, begin_embed(caller, in, model::Output::tokens));
  return Job{std::move(request), [](const router::EmbedReply& reply) {
               pb::EmbedAllResponse out;
               const std::vector<float>& row = reply.rows.front();
               for (std::size_t i = 0; i + reply.dimensions <= row.size(); i += reply.dimensions)
                 out.add_token_embeddings()->mutable_embeddings()->Add(
                     row.begin() + std::ptrdiff_t(i),
                     row.begin() + std::ptrdiff_t(i + reply.dimensions));
               *out.mutable_metadata() = metadata_of(reply);
               return to_bytes(out);
             }};
}

// A text has hardly more tokens than bytes, but for special ones.
std::size_t bytes_of_all(const GrpcCaller& caller, std::size_t message_bytes) {
  constexpr std::size_t kSpecialTokens = 4, kFraming = 16;
  const auto model = caller.context.router.find_model(caller.model, model::Task::embed);
  if (!model.ok()) return 0;
  const std::size_t tokens =
      std::min<std::size_t>(message_bytes + kSpecialTokens, (*model)->max_length);
  return tokens * ((*model)->spec.width_of(model::Output::tokens) * sizeof(float) + kFraming);
}

template <class In>
Result<Job> predict(const GrpcCaller& caller, const In& in, router::Input input) {
  SHEAF_ASSIGN(router::EmbedRequest request, begin_request(caller, in));
  SHEAF_ASSIGN(const router::ModelInfo* model,
               find_scorer(caller.context, caller.model, ScoreKind::classifier));
  request.model = model->name;
  request.task = model::Task::classify;
  request.inputs.push_back(std::move(input));
  return Job{std::move(request), [scale = label_scale(model->spec, in.raw_scores()),
                                  &labels = model->spec.labels](const router::EmbedReply& reply) {
               pb::PredictResponse out;
               for (const auto& [index, score] : rank_labels(reply.vectors, scale)) {
                 pb::Prediction& prediction = *out.add_predictions();
                 prediction.set_score(score);
                 prediction.set_label(labels[index]);
               }
               *out.mutable_metadata() = metadata_of(reply);
               return to_bytes(out);
             }};
}

Result<Job> read_predict(const GrpcCaller& caller, pb::PredictRequest& in) {
  router::Input input(std::move(*in.mutable_inputs()));
  return predict(caller, in, std::move(input));
}

Result<Job> read_predict_pair(const GrpcCaller& caller, pb::PredictPairRequest& in) {
  if (in.inputs().empty()) return no_inputs("inputs").error;
  SHEAF_ASSIGN(router::Input input,
               sequence_of("inputs", {in.mutable_inputs()->begin(), in.mutable_inputs()->end()}));
  return predict(caller, in, std::move(input));
}

// ---- ranking

std::vector<std::string> second_texts(const std::vector<router::Input>& pairs) {
  std::vector<std::string> texts;
  texts.reserve(pairs.size());
  for (const router::Input& pair : pairs) texts.push_back(std::get<router::TextPair>(pair).second);
  return texts;
}

grpc::ByteBuffer write_ranks(const router::EmbedReply& reply, bool raw,
                             const std::vector<std::string>& texts) {
  pb::RerankResponse out;
  for (const auto& [index, score] : rank_documents(reply.vectors, raw)) {
    pb::Rank& rank = *out.add_ranks();
    rank.set_index(index);
    rank.set_score(score);
    if (!texts.empty()) rank.set_text(texts[index]);
  }
  *out.mutable_metadata() = metadata_of(reply);
  return to_bytes(out);
}

Result<Job> read_ranking(const GrpcCaller& caller, TeiRanking ranking) {
  if (ranking.pairs.empty()) return no_inputs("texts").error;
  SHEAF_ASSIGN(const router::ModelInfo* model,
               find_scorer(caller.context, caller.model, ScoreKind::reranker));
  Job job;
  job.request.model = model->name;
  job.request.tenant = caller.tenant;
  job.request.deadline_us = caller.deadline_us;
  job.request.task = model::Task::classify;
  job.request.names = {.list = "texts", .with = "query"};
  job.request.truncate = ranking.truncate;
  job.request.truncation_side = ranking.side;
  std::vector<std::string> texts;
  if (ranking.return_text) texts = second_texts(ranking.pairs);
  job.request.inputs = std::move(ranking.pairs);
  job.write = [raw = ranking.raw, texts = std::move(texts)](const router::EmbedReply& reply) {
    return write_ranks(reply, raw, texts);
  };
  return job;
}

Result<Job> read_rerank(const GrpcCaller& caller, pb::RerankRequest& in) {
  SHEAF_TRY(check_text_count(caller.context, "texts", std::size_t(in.texts_size())));
  TeiRanking ranking;
  ranking.truncate = in.truncate();
  ranking.raw = in.raw_scores();
  ranking.return_text = in.return_text();
  SHEAF_ASSIGN(ranking.side, side_of(in.truncation_direction()));
  append_pairs({std::move(*in.mutable_query())},
               {std::make_move_iterator(in.mutable_texts()->begin()),
                std::make_move_iterator(in.mutable_texts()->end())},
               ranking.pairs);
  return read_ranking(caller, std::move(ranking));
}

// Messages of one query, which follow each other, share it.
router::TextPair pair_of(const std::vector<router::Input>& before, pb::RerankStreamRequest& in) {
  std::shared_ptr<const std::string> query;
  if (!before.empty()) query = std::get<router::TextPair>(before.back()).first;
  if (query == nullptr || *query != in.query())
    query = std::make_shared<const std::string>(std::move(*in.mutable_query()));
  return {std::move(query), std::move(*in.mutable_text())};
}

Status check_agreement(const TeiRanking& ranking, const pb::RerankStreamRequest& in,
                       tokenizer::Side side) {
  if (ranking.truncate == in.truncate() && ranking.side == side) return {};
  return Error{
      ErrorCode::invalid_argument,
      fmt::format("message {} has another {} than the first; all are ranked together",
                  ranking.pairs.size(), ranking.side == side ? "truncate" : "truncation_direction"),
      "truncate"};
}

// ---- methods that the tokenizer answers, or nothing but memory

template <class In,
          Result<grpc::ByteBuffer> (*write)(const GrpcCaller&, const router::ModelInfo&, In&)>
core::RequestId at_once(const GrpcCaller& caller, const grpc::ByteBuffer& message,
                        const GrpcRespond& respond) {
  Result<GrpcAnswer> answer = [&]() -> Result<GrpcAnswer> {
    SHEAF_TRY(check_inspected_bytes("the message", message.Length()));
    SHEAF_ASSIGN(In in, parse<In>(message));
    SHEAF_ASSIGN(const router::ModelInfo* model, caller.context.router.find_model(caller.model));
    SHEAF_ASSIGN(const grpc::ByteBuffer bytes, write(caller, *model, in));
    return GrpcAnswer{bytes, model->name, "", ""};
  }();
  if (!answer.ok()) return refuse(caller, answer.error(), respond);
  respond(std::move(answer));
  return 0;
}

Result<grpc::ByteBuffer> write_tokens(const GrpcCaller& caller, const router::ModelInfo& model,
                                      pb::EncodeRequest& in) {
  SHEAF_ASSIGN(
      std::vector<tokenizer::Token> tokens,
      shown_tokens(caller.context, model, in.inputs(), in.add_special_tokens(), in.prompt_name()));
  pb::EncodeResponse out;
  for (tokenizer::Token& token : tokens) {
    pb::SimpleToken& shown = *out.add_tokens();
    shown.set_id(std::uint32_t(token.id));
    shown.set_text(to_valid_utf8(std::move(token.text)));
    shown.set_special(token.special);
    if (token.start < 0) continue;
    shown.set_start(std::uint32_t(token.start));
    shown.set_stop(std::uint32_t(token.stop));
  }
  return to_bytes(out);
}

Result<std::vector<std::int32_t>> read_ids(const pb::DecodeRequest& in) {
  std::vector<std::int32_t> ids;
  for (const std::uint32_t id : in.ids()) {
    if (id > std::uint32_t(std::numeric_limits<std::int32_t>::max()))
      return Error{ErrorCode::invalid_argument,
                   fmt::format("ids[{}] is {}, which is no token id", ids.size(), id), "ids"};
    ids.push_back(std::int32_t(id));
  }
  return ids;
}

Result<grpc::ByteBuffer> write_text(const GrpcCaller& caller, const router::ModelInfo& model,
                                    pb::DecodeRequest& in) {
  if (in.ids().empty()) return no_inputs("ids").error;
  SHEAF_ASSIGN(const std::vector<std::int32_t> ids, read_ids(in));
  SHEAF_ASSIGN(std::string text, shown_text(caller.context, model, ids, in.skip_special_tokens()));
  pb::DecodeResponse out;
  out.set_text(to_valid_utf8(std::move(text)));
  return to_bytes(out);
}

pb::ModelType type_of(const model::ModelSpec& spec) {
  if (spec.is_reranker()) return pb::MODEL_TYPE_RERANKER;
  return spec.task() == model::Task::classify ? pb::MODEL_TYPE_CLASSIFIER
                                              : pb::MODEL_TYPE_EMBEDDING;
}

Result<grpc::ByteBuffer> write_info(const GrpcCaller& caller, const router::ModelInfo& model,
                                    pb::InfoRequest&) {
  const router::RouterOptions& options = caller.context.router.options();
  pb::InfoResponse out;
  out.set_version(caller.context.options.version);
  out.set_model_id(model.name);
  if (!model.revision.empty()) out.set_model_sha(model.revision);
  out.set_model_dtype(model.dtype);
  out.set_model_type(type_of(model.spec));
  out.set_max_concurrent_requests(std::uint32_t(caller.context.options.concurrent_requests_max));
  out.set_max_input_length(model.max_length);
  out.set_max_batch_tokens(model.max_batch_tokens);
  out.set_max_client_batch_size(options.max_texts);
  out.set_tokenization_workers(options.tokenizer_threads);
  return to_bytes(out);
}

}  // namespace

const TeiMethods kTeiMethods = {
    .info = {at_once<pb::InfoRequest, write_info>},
    .embed = {routed<pb::EmbedRequest, read_embed>},
    .embed_sparse = {routed<pb::EmbedSparseRequest, read_embed_sparse>},
    .embed_all = {routed<pb::EmbedAllRequest, read_embed_all>, bytes_of_all},
    .predict = {routed<pb::PredictRequest, read_predict>},
    .predict_pair = {routed<pb::PredictPairRequest, read_predict_pair>},
    .rerank = {routed<pb::RerankRequest, read_rerank>},
    .tokenize = {at_once<pb::EncodeRequest, write_tokens>},
    .decode = {at_once<pb::DecodeRequest, write_text>},
};

Status add_to_ranking(const GrpcCaller& caller, const grpc::ByteBuffer& message,
                      TeiRanking& ranking) {
  SHEAF_ASSIGN(pb::RerankStreamRequest in, parse<pb::RerankStreamRequest>(message));
  SHEAF_ASSIGN(const tokenizer::Side side, side_of(in.truncation_direction()));
  if (ranking.pairs.empty()) {
    ranking.truncate = in.truncate();
    ranking.side = side;
    ranking.raw = in.raw_scores();
    ranking.return_text = in.return_text();
  }
  SHEAF_TRY(check_agreement(ranking, in, side));
  SHEAF_TRY(check_text_count(caller.context, "the stream", ranking.pairs.size() + 1));
  ranking.bytes += message.Length();
  if (ranking.bytes > kRankedBytesMax)
    return Error{ErrorCode::too_large, fmt::format("the messages of the stream have {} bytes; {} "
                                                   "are taken together",
                                                   ranking.bytes, kRankedBytesMax)};
  ranking.pairs.emplace_back(pair_of(ranking.pairs, in));
  return {};
}

core::RequestId rank(const GrpcCaller& caller, TeiRanking ranking, const GrpcRespond& respond) {
  Result<Job> job = read_ranking(caller, std::move(ranking));
  if (!job.ok()) return refuse(caller, job.error(), respond);
  return run(caller, std::move(*job), respond);
}

}  // namespace sheaf::api
