#include "router/tokenizer_pool.h"

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <utility>

namespace sheaf::router {
namespace {

constexpr std::uint64_t kInlineBytes = 16 << 10;  // about 0.2 ms at 80 MB/s
constexpr std::uint64_t kPieceBytes = 64 << 10;   // the least that pays for waking a thread

struct Piece {
  std::size_t first = 0;
  std::size_t count = 0;
  Result<PreparedInputs> result = PreparedInputs();
};

// A request that is being tokenized in pieces; whoever finishes last joins them and calls `done`.
struct Job {
  telemetry::Metrics& metrics;
  const EmbedRequest& request;
  const ModelInfo& model;
  std::shared_ptr<const tokenizer::Tokenizer> tokenizer;
  TokenizerPool::Done done;
  std::vector<Piece> pieces;
  std::atomic<std::size_t> open;
};

std::vector<Piece> cut(const EmbedRequest& request, std::uint64_t piece_bytes) {
  std::vector<Piece> pieces(1);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    if (bytes >= piece_bytes) {
      pieces.push_back({.first = i});
      bytes = 0;
    }
    ++pieces.back().count;
    bytes += bytes_of(request.inputs[i]);
  }
  return pieces;
}

Result<PreparedInputs> prepare_piece(const Job& job, const Piece& piece) {
  const telemetry::StageTimer timer(job.metrics, telemetry::Stage::tokenize);
  PreparedInputs out;
  SHEAF_TRY(prepare_inputs(job.request, job.model, *job.tokenizer, piece.first, piece.count, out));
  return out;
}

Result<PreparedInputs> join(std::vector<Piece>& pieces) {
  for (Piece& piece : pieces)
    if (!piece.result.ok()) return std::move(piece.result).error();
  PreparedInputs all = std::move(pieces.front().result).value();
  for (std::size_t i = 1; i < pieces.size(); ++i) all.append(*pieces[i].result);
  return all;
}

}  // namespace

Result<PreparedInputs> TokenizerPool::prepare_here(const EmbedRequest& request,
                                                   const ModelInfo& model,
                                                   const tokenizer::Tokenizer& tokenizer,
                                                   std::uint64_t bytes) {
  const telemetry::StageTimer timer(metrics_, telemetry::Stage::tokenize);
  PreparedInputs out;
  out.ids.reserve(bytes / 2 + 8);
  SHEAF_TRY(prepare_inputs(request, model, tokenizer, 0, request.inputs.size(), out));
  return out;
}

void TokenizerPool::prepare(const EmbedRequest& request, const ModelInfo& model,
                            std::shared_ptr<const tokenizer::Tokenizer> tokenizer, Done done) {
  std::uint64_t bytes = 0;
  for (const Input& input : request.inputs) bytes += bytes_of(input);
  if (bytes <= kInlineBytes) return done(prepare_here(request, model, *tokenizer, bytes));
  const std::uint64_t piece_bytes = std::max(kPieceBytes, bytes / threads_);
  auto pieces = cut(request, piece_bytes);
  const std::size_t count = pieces.size();
  std::shared_ptr<Job> job(new Job{metrics_, request, model, std::move(tokenizer), std::move(done),
                                   std::move(pieces), count});
  for (std::size_t i = 0; i < count; ++i) {
    boost::asio::post(pool_, [job, i] {
      job->pieces[i].result = prepare_piece(*job, job->pieces[i]);
      if (job->open.fetch_sub(1, std::memory_order_acq_rel) == 1) job->done(join(job->pieces));
    });
  }
}

}  // namespace sheaf::router
