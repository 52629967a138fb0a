#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "slices/lease.h"

// The machine's table of leases, and of those who wait for one: a file in the slices folder, beside
// the lock under which alone it is written (mig_journal.h). Who only looks needs no lock.
namespace sheaf::slices {

// Somebody who waits. First come, first served.
struct LeaseTicket {
  std::string id;
  LeaseNeed need;
  LeaseOwner owner;
  ProcessIdentity waiter;           // gone: waits no more; nobody: only by time
  std::int64_t ends_ms = 0;         // on boot_ms()'s clock
  std::vector<std::string> drains;  // leases (ids) whose holders are asked to move away
};

struct LeaseTable {
  std::vector<Lease> leases;         // oldest first
  std::vector<LeaseTicket> waiting;  // first come first

  // Takes out what has ended: time over, holder or waiter dead. Gives a sentence for each lease.
  std::vector<std::string> drop_ended();
  bool has_ended() const;  // one of the leases
};

// One line of JSON each, behind a head that counts them and names the boot.
std::string to_text(const LeaseTable& table, const std::string& boot_id);
// Error corrupt: names `path`, the line and what is wrong. A table of another boot is empty, since
// all who held something are gone.
Result<LeaseTable> parse_lease_table(std::string_view text, const std::string& boot_id,
                                     const std::string& path);

// Of this folder; empty where there is no file yet.
Result<LeaseTable> read_lease_table(const std::string& folder);
// On the disk, whole, when it returns.
Status write_lease_table(const std::string& folder, const LeaseTable& table);

// The table for who looks again and again: read when the file is another one than before.
class LeaseTableReader {
 public:
  explicit LeaseTableReader(std::string folder) : folder_(std::move(folder)) {}
  // As the file has it, what has ended included. Valid until the next call.
  const Result<LeaseTable>& now();
  bool is_another() const { return is_another_; }  // the last call found it so

 private:
  const std::string folder_;
  std::int64_t inode_ = 0, written_ns_ = 0;
  Result<LeaseTable> table_ = LeaseTable();
  bool is_another_ = false;
};

// Tells who waits when it is worth to ask again: asking takes the machine's lock and may wake its
// cards, looking does neither.
class LeaseTableWatch {
 public:
  explicit LeaseTableWatch(std::string folder);
  // The table is another than at the last call, something in it is over, or a second has passed.
  bool stirred();

 private:
  LeaseTableReader reader_;
  std::int64_t asked_ms_ = 0, looked_ms_ = 0;
};

}  // namespace sheaf::slices
