#include "api/page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>

#include "api/example.h"

namespace sheaf::api {
namespace {

constexpr std::string_view kHead = R"(<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>sheaf</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root{color-scheme:light dark}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:3rem auto;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}
th,td{text-align:left;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #8884}
td.n,th.n{text-align:right}
pre{padding:1rem;border-radius:.5rem;background:#8882;white-space:pre-wrap;overflow-wrap:anywhere}
.ready{color:#15803d}.other{color:#b45309}
</style></head><body><h1>sheaf</h1>
)";

// Puts what has changed in the place of what is shown; nothing while nobody looks.
constexpr std::string_view kRenewal = R"(<script>
async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, {headers: {accept: "text/html"}});
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of ["state", "models", "replicas"]) {
      const now = page.getElementById(part), shown = document.getElementById(part);
      if (now && shown) shown.replaceWith(now);
    }
  } catch {
    const shown = document.getElementById("state");
    shown.className = "other";
    shown.textContent = "No answer from the server.";
  }
}
setInterval(renew, 2000);
</script>
)";

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out.append("&lt;");
        break;
      case '>':
        out.append("&gt;");
        break;
      case '&':
        out.append("&amp;");
        break;
      case '"':
        out.append("&quot;");
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

std::string models_table(const router::Router& router) {
  std::string out =
      "<table id=models><tr><th>model<th>kind<th class=n>dimensions<th class=n>tokens a text"
      "<th>dtype</tr>\n";
  for (const router::ModelInfo* model : router.models()) {
    out += fmt::format("<tr><td>{}<td>{}<td class=n>{}<td class=n>{}<td>{}</tr>\n",
                       escape_html(model->name), kind_of(model->spec), model->spec.dimensions,
                       model->max_length, escape_html(model->dtype));
  }
  return out + "</table>\n";
}

std::string replicas_table(const router::Router& router) {
  std::string out =
      "<table id=replicas><tr><th>replica<th>model<th>slice<th>state<th class=n>process"
      "<th class=n>restarts<th class=n>tokens run<th class=n>tokens/s at work</tr>\n";
  for (const router::ReplicaView& replica : router.replicas()) {
    const bool ready = replica.status.state == core::ReplicaState::ready;
    out += fmt::format(
        "<tr><td>{}<td>{}<td>{}<td class={}>{}<td class=n>{}<td class=n>{}<td class=n>{}"
        "<td class=n>{}</tr>\n",
        escape_html(replica.name), escape_html(replica.model), escape_html(replica.slice),
        ready ? "ready" : "other", name_of(replica.status.state), fmt::join(replica.pids, ", "),
        replica.status.restarts, replica.status.tokens,
        replica.status.tokens == 0 ? "–" : fmt::format("{:.0f}", replica.status.tokens_per_s));
  }
  return out + "</table>\n";
}

std::string examples(const Call& call) {
  std::string_view host = call.request.header("host");
  if (host.empty()) host = "127.0.0.1:8080";
  return curl_examples(call.context.router, fmt::format("http://{}", host),
                       call.context.options.api_keys.empty() ? "" : "KEY");
}

}  // namespace

std::string status_page(const Call& call) {
  std::string out(kHead);
  out += call.context.router.ready()
             ? "<p id=state class=ready>Ready.</p>\n"
             : "<p id=state class=other>Not ready: a model has no ready replica yet.</p>\n";
  out += "<h2>Try it</h2>\n<pre>" + escape_html(examples(call)) + "</pre>\n";
  // What is open to all is what /health says; the rest is for those who have a key.
  if (!call.context.options.api_keys.empty() && call.tenant == 0)
    return out + "<p><a href=\"/metrics\">metrics</a></p>\n" + std::string(kRenewal) +
           "</body></html>\n";
  out += "<h2>Models</h2>\n" + models_table(call.context.router);
  out += "<h2>Replicas</h2>\n" + replicas_table(call.context.router);
  return out +
         "<p><a href=\"/metrics\">metrics</a> · <a href=\"/v1/models\">models</a> · <a "
         "href=\"/v1/fleet\">fleet</a> · <a href=\"/info\">info</a></p>\n" +
         std::string(kRenewal) + "</body></html>\n";
}

}  // namespace sheaf::api
