#include "slices/mps_json.h"

#include "slices/lease_json.h"

namespace sheaf::slices {

void to_json(nlohmann::json& json, const MpsSettings& settings) {
  json = {{"thread_percentage", settings.thread_percentage},
          {"memory_limit_bytes", settings.memory_limit_bytes}};
}
void from_json(const nlohmann::json& json, MpsSettings& settings) {
  json.at("thread_percentage").get_to(settings.thread_percentage);
  json.at("memory_limit_bytes").get_to(settings.memory_limit_bytes);
}

void to_json(nlohmann::json& json, const MpsEvent& event) {
  json = {{"what", event.what}, {"at_unix_s", event.at_unix_s}, {"clients", event.clients}};
}
void from_json(const nlohmann::json& json, MpsEvent& event) {
  json.at("what").get_to(event.what);
  json.at("at_unix_s").get_to(event.at_unix_s);
  json.at("clients").get_to(event.clients);
}

void to_json(nlohmann::json& json, const MpsDaemon& daemon) {
  json = {{"uuid", daemon.uuid},
          {"text", daemon.text},
          {"settings", daemon.settings},
          {"process", daemon.process},
          {"generation", daemon.generation},
          {"last", daemon.last},
          {"servers", daemon.servers},
          {"clients", daemon.clients}};
}
void from_json(const nlohmann::json& json, MpsDaemon& daemon) {
  json.at("uuid").get_to(daemon.uuid);
  json.at("text").get_to(daemon.text);
  json.at("settings").get_to(daemon.settings);
  json.at("process").get_to(daemon.process);
  json.at("generation").get_to(daemon.generation);
  json.at("last").get_to(daemon.last);
  json.at("servers").get_to(daemon.servers);
  json.at("clients").get_to(daemon.clients);
}

void to_json(nlohmann::json& json, const MpsServer& server) {
  json = {{"pid", server.pid}, {"status", server.status}, {"clients", server.clients}};
}
void from_json(const nlohmann::json& json, MpsServer& server) {
  json.at("pid").get_to(server.pid);
  json.at("status").get_to(server.status);
  json.at("clients").get_to(server.clients);
}

void to_json(nlohmann::json& json, const MpsView& view) {
  json = {{"daemon", view.daemon}, {"state", view.state}, {"servers", view.servers}};
}
void from_json(const nlohmann::json& json, MpsView& view) {
  json.at("daemon").get_to(view.daemon);
  json.at("state").get_to(view.state);
  json.at("servers").get_to(view.servers);
}

}  // namespace sheaf::slices
