#pragma once

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/api.h"
#include "base/clock.h"
#include "server/asio_types.h"
#include "server/body_budget.h"
#include "server/event.h"
#include "server/http_body.h"
#include "server/server.h"

namespace sheaf::server {

// One client's connection: a coroutine that reads a request, has the API answer it, writes the
// answer, and begins again. Requests of a connection run one after another, so pipelined answers
// keep their order. Everything happens on the socket's strand; drain() and stop() may be called
// from any thread.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  // `options` and `bodies` outlive the connection.
  HttpConnection(Socket socket, std::shared_ptr<const api::Api> api, const ServerOptions& options,
                 BodyBudget& bodies);

  // Serves until the connection is over, then calls `over` once on the strand.
  void start(std::function<void()> over);
  void drain();  // ends after the request at hand, at once if there is none
  void stop();   // ends now

 private:
  using Parser = boost::beast::http::request_parser<PaddedBody>;
  enum class After { next_request, close, close_gently };

  Awaitable<> run();
  Awaitable<After> serve_request();
  Awaitable<bool> wait_for_request();
  Awaitable<std::optional<api::HttpResponse>> read_header();
  std::optional<api::HttpResponse> refuse_unknown_framing();
  Awaitable<std::optional<api::HttpResponse>> read_body(const api::Api::Ticket& ticket);
  Awaitable<After> serve_body(api::Api::Begun begun);
  Awaitable<After> refuse(const api::HttpResponse& response);
  Awaitable<std::optional<api::HttpResponse>> answer(const api::Api::Ticket& ticket);
  Awaitable<bool> write(const api::HttpResponse& response, bool keep_alive);
  Awaitable<bool> write_all(std::string_view head, std::string_view body);
  Awaitable<bool> fill(std::size_t bytes);
  Awaitable<> close(After after);

  api::HttpRequest request_view();
  std::optional<api::HttpResponse> decode_body(const api::Api::Ticket& ticket);
  api::HttpResponse refuse_for_memory(const api::Api::Ticket& ticket) const;
  bool keep_alive() const;
  bool discards_cheaply() const;

  void watch_for_disconnect();
  bool peer_closed();

  void set_deadline(std::uint32_t after_ms);
  void clear_deadline() { deadline_us_ = kNever; }
  void arm_timer();
  void on_timer();

  Socket socket_;
  const std::shared_ptr<const api::Api> api_;
  const ServerOptions& options_;
  BodyBudget& bodies_;

  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::vector<api::Header> headers_;
  TimeUs received_us_ = 0;
  std::string head_;  // of the answer, kept for its memory

  Event answered_;
  std::optional<api::HttpResponse> response_;
  std::uint64_t turn_ = 0;  // of the request at hand: late answers of earlier ones are dropped
  bool waiting_ = false;    // for the answer
  bool watching_ = false;   // a wait for readability is under way
  bool gone_ = false;       // the client closed while waiting

  Timer timer_;
  TimeUs deadline_us_ = kNever;
  TimeUs timer_fires_us_ = kNever;
  bool timed_out_ = false;
  bool idle_ = false;
  bool draining_ = false;
};

}  // namespace sheaf::server
