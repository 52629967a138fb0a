#pragma once

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/optional.hpp>
#include <boost/system/errc.hpp>
#include <cstdint>
#include <string>

#include "api/http.h"
#include "server/body_budget.h"

namespace sheaf::server {

// Beast's body type for requests: a string with room for api::kBodyPadding after it, bounded
// by itself (body_limit) and with all others (not_enough_memory).
struct PaddedBody {
  struct value_type {
    std::string text;
    std::size_t bytes_max = 0;
    BodyBudget::Share share;
  };

  class reader {
   public:
    template <bool kIsRequest, class Fields>
    reader(boost::beast::http::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}

    void init(const boost::optional<std::uint64_t>& length, boost::system::error_code& ec) {
      ec = {};
      // A sender that only claims a large body does not get its memory.
      constexpr std::uint64_t kReservedMax = 1u << 20;
      body_.text.reserve(std::size_t(std::min(length.value_or(0), kReservedMax)) +
                         api::kBodyPadding);
    }

    template <class Buffers>
    std::size_t put(const Buffers& buffers, boost::system::error_code& ec) {
      ec = {};
      const std::size_t bytes = boost::asio::buffer_size(buffers);
      if (bytes > body_.bytes_max - body_.text.size()) {
        ec = boost::beast::http::error::body_limit;
        return 0;
      }
      if (!body_.share.hold(body_.text.size() + bytes)) {
        ec = make_error_code(boost::system::errc::not_enough_memory);
        return 0;
      }
      for (const boost::asio::const_buffer piece : boost::beast::buffers_range_ref(buffers)) {
        body_.text.append(static_cast<const char*>(piece.data()), piece.size());
      }
      return bytes;
    }

    void finish(boost::system::error_code& ec) {
      ec = {};
      body_.text.reserve(body_.text.size() + api::kBodyPadding);
    }

   private:
    value_type& body_;
  };
};

}  // namespace sheaf::server
