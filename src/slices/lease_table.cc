#include "slices/lease_table.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "slices/durable_file.h"
#include "slices/lease_json.h"

namespace sheaf::slices {
namespace {

constexpr int kTableVersion = 2;
constexpr std::int64_t kLookAtHoldersMs = 200;  // of thousands each is a call of the kernel's
constexpr std::int64_t kAskAnywayMs = 1000;  // something else may have ended: what computes there

std::string table_path(const std::string& folder) { return folder + "/leases"; }

std::string boot_id_here() {
  std::string text = content_of("/proc/sys/kernel/random/boot_id");
  text.erase(std::min(text.find('\n'), text.size()));
  return text;
}

// Throws nlohmann's exceptions.
void take_line(const nlohmann::json& json, LeaseTable& table) {
  if (json.contains("lease"))
    table.leases.push_back(json.at("lease").get<Lease>());
  else
    table.waiting.push_back(json.at("waiting").get<LeaseTicket>());
}

Error damaged(const std::string& path, std::size_t line, const std::string& what) {
  return {ErrorCode::corrupt,
          fmt::format("{}:{}: {}; nothing is leased until it is repaired or, when no lease is "
                      "needed any more, removed",
                      path, line, what)};
}

// Why a lease is over; empty: it is not.
std::string ended_because(const Lease& lease, std::int64_t now_ms) {
  if (lease.ends_ms <= now_ms) return fmt::format("its {} ms are over", lease.ttl_ms);
  if (lease.holder.pid != 0 && !is_alive(lease.holder))
    return fmt::format("process {} is gone", lease.holder.pid);
  return "";
}

bool waits(const LeaseTicket& ticket, std::int64_t now_ms) {
  return ticket.ends_ms > now_ms && (ticket.waiter.pid == 0 || is_alive(ticket.waiter));
}

}  // namespace

std::vector<std::string> LeaseTable::drop_ended() {
  const std::int64_t now_ms = boot_ms();
  std::vector<std::string> ended;
  std::erase_if(leases, [&](const Lease& lease) {
    const std::string why = ended_because(lease, now_ms);
    if (!why.empty()) ended.push_back(fmt::format("{} of {}: {}", lease.id, lease.slice.text, why));
    return !why.empty();
  });
  std::erase_if(waiting, [&](const LeaseTicket& ticket) { return !waits(ticket, now_ms); });
  return ended;
}

bool LeaseTable::has_ended() const {
  const std::int64_t now_ms = boot_ms();
  return std::ranges::any_of(
      leases, [&](const Lease& lease) { return !ended_because(lease, now_ms).empty(); });
}

std::string to_text(const LeaseTable& table, const std::string& boot_id) {
  const auto line = [](const nlohmann::json& json) {
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  };
  std::string text = line({{"version", kTableVersion},
                           {"boot", boot_id},
                           {"lines", table.leases.size() + table.waiting.size()}});
  for (const Lease& lease : table.leases) text += line({{"lease", lease}});
  for (const LeaseTicket& ticket : table.waiting) text += line({{"waiting", ticket}});
  return text;
}

Result<LeaseTable> parse_lease_table(std::string_view text, const std::string& boot_id,
                                     const std::string& path) {
  LeaseTable table;
  std::size_t line = 0, announced = 0;
  std::string boot;
  try {
    while (!text.empty()) {
      ++line;
      const std::size_t end = text.find('\n');
      if (end == std::string_view::npos) return damaged(path, line, "the line is cut off");
      const auto json = nlohmann::json::parse(text.substr(0, end));
      text.remove_prefix(end + 1);
      if (line > 1) {
        take_line(json, table);
        continue;
      }
      if (json.at("version").get<int>() != kTableVersion)
        return damaged(path, line, "it is of another version of sheaf");
      json.at("boot").get_to(boot);
      json.at("lines").get_to(announced);
    }
  } catch (const nlohmann::json::exception& thrown) {
    return damaged(path, line, thrown.what());
  }
  if (line != announced + 1)
    return damaged(path, std::max<std::size_t>(line, 1),
                   fmt::format("it has {} lines behind the first, which says {}",
                               line == 0 ? 0 : line - 1, announced));
  return boot == boot_id ? table : LeaseTable();
}

Result<LeaseTable> read_lease_table(const std::string& folder) {
  const std::string path = table_path(folder);
  if (access(path.c_str(), F_OK) != 0) return LeaseTable();
  return parse_lease_table(content_of(path), boot_id_here(), path);
}

Status write_lease_table(const std::string& folder, const LeaseTable& table) {
  return replace_file(table_path(folder), to_text(table, boot_id_here()));
}

const Result<LeaseTable>& LeaseTableReader::now() {
  struct stat facts = {};
  (void)stat(table_path(folder_).c_str(), &facts);
  const auto inode = static_cast<std::int64_t>(facts.st_ino);
  const std::int64_t written_ns = facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec;
  is_another_ = inode != inode_ || written_ns != written_ns_;
  if (is_another_) table_ = read_lease_table(folder_);
  inode_ = inode;
  written_ns_ = written_ns;
  return table_;
}

LeaseTableWatch::LeaseTableWatch(std::string folder) : reader_(std::move(folder)) {
  (void)stirred();
}

bool LeaseTableWatch::stirred() {
  const auto& table = reader_.now();
  const std::int64_t now_ms = boot_ms();
  bool is_over = false;
  if (table.ok() && now_ms - looked_ms_ >= kLookAtHoldersMs) {
    is_over = table->has_ended();
    looked_ms_ = now_ms;
  }
  const bool is_time = now_ms - asked_ms_ >= kAskAnywayMs;
  if (!reader_.is_another() && !is_over && !is_time) return false;
  asked_ms_ = now_ms;
  return true;
}

}  // namespace sheaf::slices
