#include "cli/http_client.h"

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <thread>

namespace sheaf::cli {
namespace {

namespace asio = boost::asio;

TEST(ServerAddress, InAllItsForms) {
  const auto text = [](std::string_view given) {
    return parse_server_address(given, 8080).value().text();
  };
  EXPECT_EQ(text(""), "127.0.0.1:8080");
  EXPECT_EQ(text("host"), "host:8080");
  EXPECT_EQ(text("host:1"), "host:1");
  EXPECT_EQ(text(":9"), "127.0.0.1:9");
  EXPECT_EQ(text("http://host:1/"), "host:1");
  EXPECT_EQ(text("[::1]:5"), "[::1]:5");
  EXPECT_EQ(text("[::1]"), "[::1]:8080");
  EXPECT_FALSE(parse_server_address("host:x", 1).ok());
  EXPECT_FALSE(parse_server_address("host:0", 1).ok());
}

// Answers `answers` one a connection, each after one request, then closes.
class OneAnswerServer {
 public:
  explicit OneAnswerServer(std::vector<std::string> answers)
      : acceptor_(io_, {asio::ip::address_v4::loopback(), 0}),
        thread_([this, answers = std::move(answers)] {
          for (const std::string& answer : answers) {
            asio::ip::tcp::socket socket = acceptor_.accept();
            asio::streambuf request;
            asio::read_until(socket, request, "\r\n\r\n");
            asio::write(socket, asio::buffer(answer));
          }
        }) {}
  ~OneAnswerServer() { thread_.join(); }
  ServerAddress address() const { return {"127.0.0.1", acceptor_.local_endpoint().port()}; }

 private:
  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  std::thread thread_;
};

Result<HttpAnswer> get(asio::io_context& io, HttpConnection& connection) {
  std::optional<Result<HttpAnswer>> answer;
  asio::co_spawn(
      io, [&]() -> asio::awaitable<void> { answer = co_await connection.get("/"); },
      asio::detached);
  io.restart();
  io.run();
  return *answer;
}

TEST(HttpConnection, ReadsHeadersAndReopensAClosedConnection) {
  OneAnswerServer server(
      {"HTTP/1.1 200 OK\r\nx-compute-tokens: 42\r\nx-sheaf-compute-us: 7\r\nconnection: close\r\n"
       "content-length: 2\r\n\r\nhi",
       "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 20\r\n\r\n{\"error\":\"too late\"}\n"});
  asio::io_context io;
  HttpConnection connection(io.get_executor(), server.address(), "", 5'000'000);
  const auto first = get(io, connection);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(first->status, 200u);
  EXPECT_EQ(first->body, "hi");
  EXPECT_EQ(first->tokens, 42u);
  EXPECT_EQ(first->compute_us, 7);
  const auto second = get(io, connection);
  ASSERT_TRUE(second.ok()) << second.error().message;
  EXPECT_EQ(second->compute_us, -1);
  EXPECT_EQ(error_of(*second).message, "HTTP 503: too late");
}

TEST(HttpConnection, SaysWhoCannotBeReached) {
  asio::io_context io;
  asio::ip::tcp::acceptor closed(io, {asio::ip::address_v4::loopback(), 0});
  const ServerAddress address{"127.0.0.1", closed.local_endpoint().port()};
  closed.close();
  HttpConnection connection(io.get_executor(), address, "", 1'000'000);
  const auto answer = get(io, connection);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().message, "cannot connect to " + address.text() + ": Connection refused");
}

TEST(HttpConnection, SaysWhatIsNoHttp) {
  asio::io_context io;
  const auto message = [&](std::string answer) {
    OneAnswerServer server({std::move(answer)});
    HttpConnection connection(io.get_executor(), server.address(), "", 5'000'000);
    const std::string text = get(io, connection).error().message;
    return text.substr(server.address().text().size());
  };
  const std::string http2_settings("\0\0\0\4\0\0\0\0\0", 9);
  EXPECT_EQ(message(http2_settings), " answers no HTTP/1.1; is this the gRPC port?");
  EXPECT_EQ(message("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nh"), ": partial message");
}

TEST(ErrorOf, FindsTheMessageOfEveryDialect) {
  const auto message = [](std::string body) {
    return error_of({.status = 400, .body = std::move(body)}).message;
  };
  EXPECT_EQ(message(R"({"error": {"message": "no", "type": "x"}})"), "HTTP 400: no");
  EXPECT_EQ(message(R"({"error": "no", "error_type": "Validation"})"), "HTTP 400: no");
  EXPECT_EQ(message("<html>"), "HTTP 400");
}

TEST(PercentEncode, LeavesNamesOfModelsReadable) {
  EXPECT_EQ(percent_encode("org/bge-m3_v1.5~a"), "org/bge-m3_v1.5~a");
  EXPECT_EQ(percent_encode("a b&c=d+%\xC3\xB6"), "a%20b%26c%3Dd%2B%25%C3%B6");
}

}  // namespace
}  // namespace sheaf::cli
