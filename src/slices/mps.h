#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "slices/mig_journal.h"
#include "slices/mps_control.h"
#include "slices/process_identity.h"

// MPS: programs of one owner compute on a card, or on a MIG slice, at the same time rather than in
// turns. One daemon for each, in folders of its own. Its clients share its fate, and each other's
// faults.
namespace sheaf::slices {

// What a client may have that says nothing itself.
struct MpsSettings {
  unsigned thread_percentage = 100;      // of the multiprocessors, 1 to 100
  std::uint64_t memory_limit_bytes = 0;  // of each client process; 0: no limit
  friend bool operator==(const MpsSettings&, const MpsSettings&) = default;
};

// Something that befell a daemon's clients, all of which have to start again.
struct MpsEvent {
  std::string what;  // "ended", "hung", "fault"; empty: nothing yet
  std::int64_t at_unix_s = 0;
  std::vector<pid_t> clients;  // that it had
};

// A daemon that shall run; kept in its folder until it is stopped.
struct MpsDaemon {
  std::string uuid, text;  // "GPU 0", "mig:0/3 (1g.5gb)"
  MpsSettings settings;
  ProcessIdentity process;
  unsigned generation = 0;  // how often it was started
  MpsEvent last;
  // As last seen by who watches it.
  std::vector<ProcessIdentity> servers;
  std::vector<pid_t> clients;
};

struct MpsServer {
  pid_t pid = 0;
  std::string status;  // "ACTIVE", "FAULT", …
  std::vector<pid_t> clients;
};

struct MpsView {
  MpsDaemon daemon;
  std::string state;  // "running", "gone", "silent"
  std::vector<MpsServer> servers;
};

// Where it runs already, its settings become these: for servers that start from now on. Error
// not_found: no such program; io: it ended or was silent at its start, with its words.
Result<MpsDaemon> start_mps(MigJournal& journal, const std::string& uuid, const std::string& text,
                            const MpsSettings& settings);
// Error unavailable: it has clients, and `force` is not set; not_found: none runs there.
Status stop_mps(MigJournal& journal, const std::string& uuid, bool force);
// Starts one that is gone again, if it is `gone` still; what befell its clients is kept.
Result<MpsDaemon> revive_mps(MigJournal& journal, const MpsDaemon& gone, const std::string& what);
// Keeps what was seen of a daemon, if it is that one still.
Status note_mps(MigJournal& journal, const MpsDaemon& seen);

// One that shall run there, as kept; nothing: none shall. Error corrupt: names the file.
Result<std::optional<MpsDaemon>> find_mps(const std::string& folder, const std::string& uuid);
// All that shall run, as kept. Error corrupt: names the file.
Result<std::vector<MpsDaemon>> kept_mps(const std::string& folder);
// Servers and clients, as the daemon tells within `timeout_ms` a question.
Result<std::vector<MpsServer>> mps_servers(const MpsControl& control, const MpsFolders& folders,
                                           int timeout_ms);
MpsView look_at_mps(const std::string& folder, const MpsDaemon& daemon, int timeout_ms);

// Error unavailable: MPS runs on one of these cards or MIG slices.
Status refuse_mps(const std::string& folder, const std::vector<std::string>& uuids);

// What a client needs to run on this card or MIG slice under its daemon, "NAME=value".
std::vector<std::string> mps_client_environment(const std::string& folder, const std::string& uuid,
                                                unsigned thread_percentage,
                                                std::uint64_t memory_limit_bytes);
// "2G", "1536M": whole MiB, rounded down, at least one.
std::string mps_memory_text(std::uint64_t bytes);

}  // namespace sheaf::slices
