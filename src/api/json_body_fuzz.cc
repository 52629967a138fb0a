// Any bytes as the body of any route that parses one (plans: cli/plan_service_fuzz.cc): handlers
// must answer once, with a status that is no server error, and never crash.
#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "api/api.h"
#include "api/fake_router.h"
#include "base/log.h"
#include "slices/lease_clerk.h"

namespace {

struct Surface {
  Surface() : router(io), api(router, metrics, {.allow_token_ids = true, .leases = &leases}) {
    leases.close();  // whatever is understood is refused
    sheaf::set_log_options({.level = sheaf::LogLevel::off});
    router.serve_classifiers();
  }
  boost::asio::io_context io;
  sheaf::api::FakeRouter router;
  sheaf::telemetry::Metrics metrics;
  sheaf::slices::LeaseClerk leases{"/dev/null/leases"};
  sheaf::api::Api api;
};

void ask(Surface& surface, const char* target, std::string_view body, int most = 499) {
  sheaf::api::HttpRequest request;
  request.method = "POST";
  request.target = target;
  request.body = body;
  const auto begun = surface.api.begin(request, body.size());
  int answers = 0;
  surface.api.run(begun.ticket, request, [&](sheaf::api::HttpResponse response) {
    ++answers;
    if (response.status > most || response.status < 200) std::abort();
  });
  surface.io.restart();
  surface.io.poll();
  if (answers != 1) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Surface surface;
  std::string body(reinterpret_cast<const char*>(data), size);
  body.reserve(size + sheaf::api::kBodyPadding);
  for (const char* target : {"/v1/embeddings", "/embed", "/similarity", "/tokenize", "/decode",
                             "/v2/embed", "/api/embed", "/rerank", "/v2/rerank", "/predict",
                             "/score", "/classify", "/?model=org/reranker"}) {
    ask(surface, target, body);
  }
  for (const char* target : {"/v1/slices/lease", "/v1/slices/lease/lease-1/renew"})
    ask(surface, target, body, 503);
  return 0;
}
