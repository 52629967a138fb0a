#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>

#include "hub/hub.h"
#include "hub/names.h"

namespace sheaf::hub {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string first_variable(std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (std::string value = variable(name); !value.empty()) return value;
  return "";
}

// As huggingface_hub reads switches.
bool is_on(const char* name) {
  std::string value = variable(name);
  std::transform(value.begin(), value.end(), value.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

int seconds(const char* name, int otherwise) {
  const std::string value = variable(name);
  int out = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), out);
  return error == std::errc() && end == value.data() + value.size() && out > 0 ? out : otherwise;
}

std::string home() {
  const std::string home = variable("HOME");
  return home.empty() ? "." : home;
}

std::string expand_home(const std::string& path) {
  return path == "~" || path.starts_with("~/") ? home() + path.substr(1) : path;
}

std::string folder_or(const std::string& configured, const std::string& otherwise) {
  return without_trailing_slash(expand_home(configured.empty() ? otherwise : configured));
}

std::string user_cache_folder() { return folder_or(variable("XDG_CACHE_HOME"), "~/.cache"); }

// What may go into a header line: no surrounding space, no control character.
std::string clean_token(std::string token) {
  std::erase_if(token, [](char c) { return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f; });
  return token;
}

std::string hugging_face_token(const std::string& hf_home) {
  const std::string token = clean_token(first_variable({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}));
  if (!token.empty() || is_on("HF_HUB_DISABLE_IMPLICIT_TOKEN")) return token;
  std::ifstream file(folder_or(variable("HF_TOKEN_PATH"), hf_home + "/token"));
  std::string line;
  std::getline(file, line);
  return clean_token(line);
}

std::string with_scheme(const std::string& domain) {
  return domain.find("://") == std::string::npos ? "https://" + domain : domain;
}

}  // namespace

HubOptions HubOptions::from_environment() {
  HubOptions options;
  if (const auto endpoint = variable("HF_ENDPOINT"); !endpoint.empty())
    options.endpoint = without_trailing_slash(endpoint);
  const std::string hf_home = folder_or(variable("HF_HOME"), user_cache_folder() + "/huggingface");
  options.cache_folder =
      folder_or(first_variable({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}), hf_home + "/hub");
  options.token = hugging_face_token(hf_home);
  options.offline = is_on("HF_HUB_OFFLINE") || is_on("TRANSFORMERS_OFFLINE");
  options.metadata_timeout_s = seconds("HF_HUB_ETAG_TIMEOUT", options.metadata_timeout_s);
  options.download_timeout_s = seconds("HF_HUB_DOWNLOAD_TIMEOUT", options.download_timeout_s);
  if (const auto domain = variable("MODELSCOPE_DOMAIN"); !domain.empty())
    options.modelscope_endpoint = without_trailing_slash(with_scheme(domain));
  options.modelscope_cache_folder = folder_or(variable("MODELSCOPE_CACHE"), "~/.cache/modelscope");
  options.modelscope_token = clean_token(variable("MODELSCOPE_API_TOKEN"));
  return options;
}

}  // namespace sheaf::hub
