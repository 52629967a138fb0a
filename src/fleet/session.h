#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "channel/router_end.h"
#include "fleet/fleet.h"
#include "fleet/loop.h"
#include "fleet/oom.h"
#include "fleet/process.h"
#include "model/spec/shard.h"
#include "slices/slice.h"

namespace sheaf::fleet {

// One process of a replica: all of it, or a rank of several.
struct RankOptions {
  model::Shard shard;
  slices::Slice slice;
  int weights_fd = -1;
  int card_weights_fd = -1;  // of the copy that is on the slice's card already, if there is one
};

struct SessionOptions {
  ReplicaId replica = 0;
  Incarnation incarnation = 0;
  std::string program;
  std::vector<std::string> environment;
  channel::Limits limits;
  std::uint32_t streams = 1;
  std::vector<RankOptions> ranks;
};

// The processes of one replica, from their spawn to their exit: a channel, served by the first of
// them, a control socket and a pidfd each, and the batches that they owe. They live as one: where
// one ends the others are killed, and one exit is reported, that of the one that began. Checks
// everything that comes from them; a replica that breaks the rules is killed and reported as
// protocol_error. All members under the mutex.
class Session : public std::enable_shared_from_this<Session> {
 public:
  // `ready` is called just before the listener hears of it, with what came with the hello, of each
  // rank: the descriptor of a copy of its weights on the card, if it made one. `ended` is called
  // just before the listener hears of the exit, and may yet lose_slice().
  struct Owner {
    FleetListener& listener;
    OomWatch& oom;
    std::function<void(Session&, std::vector<Fd>)> ready;
    std::function<void(Session&)> ended;
  };

  static Result<std::shared_ptr<Session>> start(const Loop& loop, SessionOptions options,
                                                Owner owner);
  Session(const Loop& loop, SessionOptions options, Owner owner, channel::RouterEnd channel);

  ReplicaId replica() const { return options_.replica; }
  Incarnation incarnation() const { return options_.incarnation; }
  std::vector<int> pids() const;  // of those that run, by rank
  bool busy() const { return !open_.empty(); }

  void stop();
  void kill();
  // Kills it: where it ran is gone, which and how: "gpu:0 vanished".
  void lose_slice(const std::string& how);
  bool submit(BatchId batch, std::span<const BatchItem> items);
  void cancel(BatchId batch);
  // Every 50 ms while busy, else a few times a second.
  void sample(TimeUs now_us);
  // Forgets the listener, kills and reaps: the fleet is going away.
  void abandon();

 private:
  struct OpenItem {
    std::uint32_t tokens = 0;
    channel::Output output = channel::Output::vector;
    bool reported = false;
  };
  struct OpenBatch {
    std::uint32_t unreported = 0;
    bool cancelled = false;
    std::vector<OpenItem> items;
  };

  struct Member {
    Member(const Loop& loop, std::size_t rank, Process process, Fd control);

    std::size_t rank;  // its place in members_
    Process process;
    boost::asio::posix::stream_descriptor control, exit;
    std::string control_lines;
    Fd given;          // the descriptor that came last on its control socket
    std::string said;  // the error that it reported
    std::optional<ExitStatus> end;
  };

  Status spawn_all();
  Status spawn(std::size_t rank, int group_fd);
  void kill_all();
  void close_controls();
  void wait_for_news();
  void wait_for_control(Member& member);
  void wait_for_exit(Member& member);

  void take_news();
  Status take_rows(const channel::Rows& rows);
  Status take_whole_rows(OpenBatch& batch, const channel::Rows& rows);
  Status take_part(const OpenItem& item, const channel::Rows& rows);
  Status take_final(const channel::Final& final);
  static bool read_control(Member& member);
  void take_control(Member& member);
  Status take_hello(const std::string& line);
  void take_exit(Member& member);
  bool began(const Member& member) const;
  void end();
  core::ExitReport exit_report();
  void violate(const std::string& what);

  Loop loop_;
  SessionOptions options_;
  Owner owner_;
  channel::RouterEnd channel_;
  std::vector<std::unique_ptr<Member>> members_;
  const Member* first_to_end_ = nullptr;
  boost::asio::posix::stream_descriptor news_;
  std::uint64_t news_count_ = 0;
  std::unordered_map<BatchId, OpenBatch> open_;
  std::vector<float> row_;  // of the rows that come in parts or are looked at, a copy of ours
  bool row_open_ = false;   // whether the next rows must continue it
  BatchId row_batch_ = 0;
  std::uint32_t row_item_ = 0;
  bool ready_ = false;
  bool killed_ = false;     // by us
  std::string slice_lost_;  // how; empty: it was not
  bool ended_ = false;
  TimeUs leave_by_us_ = 0;  // killed if still alive then; 0: may stay
  std::string violation_;
};

}  // namespace sheaf::fleet
