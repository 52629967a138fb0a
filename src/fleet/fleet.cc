#include "fleet/fleet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/log.h"
#include "base/text.h"
#include "fleet/loop.h"
#include "fleet/oom.h"
#include "fleet/packing.h"
#include "fleet/session.h"
#include "slices/device_watch.h"
#include "slices/replacement.h"
#include "slices/tenancy.h"

namespace sheaf::fleet {
namespace {

using boost::system::error_code;

// A stopped or hung replica must be noticed within 0.5 s. The idle period serves replicas that are
// stopped without work, or asked to leave.
constexpr auto kBusyPeriod = std::chrono::milliseconds(50);
constexpr auto kIdlePeriod = std::chrono::milliseconds(200);
constexpr TimeUs kStayBusyUs = 1'000'000;  // keeps the short period between requests that follow
constexpr TimeUs kOomPeriodUs = 1'000'000;

channel::Limits limits_for(const model::ModelSpec& spec) {
  channel::Limits limits;
  limits.max_batch_tokens = std::max({limits.max_batch_tokens, spec.max_length, spec.positions});
  limits.row_floats = spec.width_of(model::Output::vector);
  limits.sparse_terms = spec.width_of(model::Output::sparse);
  limits.token_floats = spec.width_of(model::Output::tokens);
  return limits;
}

// Packed weights of a model, or of a rank's part of it: none, being packed, or there for every
// replica to map.
struct Weights {
  Fd fd;
  std::shared_ptr<Packing> packing;
};

// A model's weights, or a rank's part of them, on a card or MIG device, where its replicas have one
// copy in common. The first that starts there makes it, while the others wait; it hands a
// descriptor over once it has computed with them, and the copy outlives it. Clients of an MPS
// daemon have it as long as the daemon: what the driver keeps of one that ended is not known.
struct CardWeights {
  std::optional<slices::MpsLife> mps;
  Fd fd = {};                                     // of the copy, once there is one
  std::optional<ReplicaId> maker = std::nullopt;  // who is to bring it
  bool apart = false;                             // it brought none: each has its own
};

// A replica's place: its slice, and the process that is there now.
struct Place {
  std::size_t model = 0;
  slices::PlacedReplica seat;
  std::shared_ptr<Session> session = nullptr;
  std::optional<Incarnation> waiting = std::nullopt;  // for weights, a slice, or its MPS daemon
  bool slice_lost = false;                            // the seat's, and no other was found yet
  std::string lost_uuid = {};                         // which of them
  std::string lost_how = {};                          // "vanished"
  bool said = false;                                  // that it waits, and what for
  std::optional<slices::MpsLife> mps = std::nullopt;  // that its process is in
};

class Driver final : public Fleet {
 public:
  Driver(boost::asio::io_context& io, std::mutex& mutex, FleetOptions options,
         FleetListener& listener, slices::Machine machine)
      : loop_{io, mutex, std::make_shared<Gate>()},
        options_(std::move(options)),
        listener_(listener),
        machine_(std::move(machine)),
        timer_(std::make_shared<boost::asio::steady_timer>(io)) {
    make_places();
    const std::lock_guard lock(mutex);
    for (std::size_t model = 0; model < options_.models.size(); ++model) pack(model);
    set_timer(kIdlePeriod);
    watch_devices();
  }

  ~Driver() override {
    watch_.reset();
    loop_.gate->close();
    end_processes();
    tenancy_.reset();  // what is given back is free by now
  }

  void start(ReplicaId replica, Incarnation incarnation) override {
    Place& place = places_.at(replica);
    if (place.session) place.session->abandon();  // the core starts a place only after its exit
    place.session.reset();
    place.waiting = incarnation;
    place.said = false;
    if (place.slice_lost) find_slice(replica);
    if (is_packed(place.model))
      launch(replica);
    else
      pack(place.model);
  }

  void stop(ReplicaId replica, Incarnation incarnation) override {
    if (forget_waiting(replica, incarnation)) return;
    if (Session* session = find(replica, incarnation)) session->stop();
  }

  void kill(ReplicaId replica, Incarnation incarnation) override {
    if (forget_waiting(replica, incarnation)) return;
    if (Session* session = find(replica, incarnation)) session->kill();
  }

  bool submit(ReplicaId replica, Incarnation incarnation, BatchId batch,
              std::span<const BatchItem> items) override {
    Session* session = find(replica, incarnation);
    if (session == nullptr || !session->submit(batch, items)) return false;
    last_submit_us_ = monotonic_us();
    if (period_ != kBusyPeriod) set_timer(kBusyPeriod);
    return true;
  }

  void cancel(ReplicaId replica, Incarnation incarnation, BatchId batch) override {
    if (Session* session = find(replica, incarnation)) session->cancel(batch);
  }

  void card_failed(const CardFailure& failure) override {
    for (ReplicaId replica = 0; replica < places_.size(); ++replica)
      if (is_on_card(places_[replica]) && !places_[replica].slice_lost)
        for (const slices::Slice& slice : places_[replica].seat.slices())
          if (is_hit(slice, failure)) {
            lose_slice(replica, slice, "was lost to " + failure.what);
            break;
          }
    if (failure.for_good) unusable_.insert(failure.gpu);
  }

  // The watch's next reading has it again.
  void card_is_well(unsigned gpu) override { unusable_.erase(gpu); }

  std::string replica_name(ReplicaId replica) const override { return std::to_string(replica); }
  std::string slice_name(ReplicaId replica) const override {
    return places_.at(replica).seat.slice.name;
  }
  std::vector<int> pids(ReplicaId replica) const override {
    const auto& session = places_.at(replica).session;
    return session ? session->pids() : std::vector<int>();
  }

 private:
  void make_places() {
    for (const FleetModel& model : options_.models)
      weights_.emplace_back(model.ranks * model.stages.size());
    auto seat = options_.placement.replicas.begin();
    for (std::size_t model = 0; model < options_.models.size(); ++model)
      for (std::uint32_t i = 0; i < options_.models[model].replicas; ++i)
        places_.push_back({.model = model, .seat = *seat++});
    const auto on_cores = std::ranges::count_if(places_, std::not_fn(is_on_card));
    if (static_cast<std::size_t>(on_cores) > machine_.cores.size())
      log(LogLevel::warn, "{} replicas are more than the {} cores: some share one", on_cores,
          machine_.cores.size());
  }

  void end_processes() {
    const std::lock_guard lock(loop_.mutex);
    timer_->cancel();
    for (auto& ranks : weights_)
      for (Weights& weights : ranks)
        if (weights.packing) weights.packing->cancel();
    for (Place& place : places_)  // all at once, so that they die at the same time
      if (place.session) place.session->kill();
    for (Place& place : places_)
      if (place.session) place.session->abandon();
  }

  Session* find(ReplicaId replica, Incarnation incarnation) {
    Session* session = places_.at(replica).session.get();
    return session != nullptr && session->incarnation() == incarnation ? session : nullptr;
  }

  // ---- weights

  // Of a model's processes, by their numbers.
  std::vector<model::Shard> shards_of(std::size_t model) const {
    return model::shards_of(options_.models[model].ranks, options_.models[model].stages);
  }

  bool is_packed(std::size_t model) const {
    return std::ranges::all_of(weights_[model], [](const Weights& one) { return bool(one.fd); });
  }

  void pack(std::size_t model) {
    for (std::uint32_t rank = 0; rank < weights_[model].size(); ++rank) pack(model, rank);
  }

  void pack(std::size_t model, std::uint32_t rank) {
    Weights& weights = weights_[model][rank];
    if (weights.packing || weights.fd) return;
    const FleetModel& source = options_.models[model];
    auto packing = Packing::begin(
        loop_, packing_program(model), options_.replica_environment,
        {source.folder, source.pooling, source.dtype, shards_of(model).at(rank)},
        [this, model, rank](Result<Fd> packed) { take_weights(model, rank, std::move(packed)); });
    if (packing.ok())
      weights.packing = std::move(*packing);
    else
      fail_waiting(model, packing.error().message);
  }

  // Weights are laid out for what computes with them: a model's replicas are all on cards or none.
  const std::string& packing_program(std::size_t model) const {
    const auto place = std::ranges::find(places_, model, &Place::model);
    return place == places_.end() ? options_.replica_program : program_of(*place);
  }

  // ---- weights on cards

  // Where a process of a replica on cards runs.
  const slices::Slice& slice_of(const Place& place, std::size_t rank) const {
    return place.seat.slices()[shards_of(place.model).at(rank).place()];
  }

  // As they are for a replica that is about to start.
  CardWeights& card_weights_of(const Place& place, std::size_t rank) {
    CardWeights& there = card_weights_[{place.model, rank, slice_of(place, rank).uuid}];
    if (there.mps != place.mps) there = {.mps = place.mps};
    return there;
  }

  // What each rank made of its part.
  void take_ready(const Session& session, std::vector<Fd> made) {
    const Place& place = places_[session.replica()];
    if (!is_on_card(place) || place.slice_lost) return;
    bool news = false;
    for (std::size_t rank = 0; rank < place.seat.slices().size(); ++rank)
      news = take_card_weights(session.replica(), rank, std::move(made[rank])) || news;
    if (news) launch_waiting(place.model);
  }

  bool take_card_weights(ReplicaId replica, std::size_t rank, Fd made) {
    const Place& place = places_[replica];
    CardWeights& there = card_weights_of(place, rank);
    const bool awaited = there.maker == replica;
    if (!awaited && !made) return false;
    if (awaited) there.maker.reset();
    there.apart = !made && !there.fd;
    if (!made) return true;
    log(LogLevel::info,
        "replica {} brought the weights of {} to the card of slice {}, for all there",
        replica_name(replica), options_.models[place.model].name, slice_of(place, rank).name);
    there.fd = std::move(made);
    return true;
  }

  // Of a replica that has ended: another may make what it did not.
  void give_up_making(ReplicaId replica) {
    bool gave_up = false;
    for (auto& [where, there] : card_weights_) {
      if (there.maker != replica) continue;
      there.maker.reset();
      gave_up = true;
    }
    if (gave_up) launch_waiting(places_[replica].model);
  }

  // What lies there is not to be trusted, or has to be free for others.
  void drop_card_weights(const std::string& uuid) {
    std::erase_if(card_weights_,
                  [&](const auto& entry) { return std::get<std::string>(entry.first) == uuid; });
  }

  // ---- packing

  void take_weights(std::size_t model, std::uint32_t rank, Result<Fd> packed) {
    Weights& weights = weights_[model][rank];
    weights.packing.reset();
    if (!packed.ok()) return fail_waiting(model, packed.error().message);
    weights.fd = std::move(*packed);
    if (!is_packed(model)) return;
    launch_waiting(model);
  }

  void launch_waiting(std::size_t model) {
    for (ReplicaId replica = 0; replica < places_.size(); ++replica)
      if (places_[replica].model == model && places_[replica].waiting) launch(replica);
  }

  // ---- slices that come and go

  static bool is_on_card(const Place& place) {
    return place.seat.slice.kind != slices::SliceKind::cores;
  }

  const std::string& program_of(const Place& place) const {
    return is_on_card(place) ? options_.card_program : options_.replica_program;
  }

  void watch_devices() {
    if (std::ranges::none_of(places_, is_on_card)) return;
    const auto heard = [this](const auto& devices) {
      boost::asio::post(loop_.io, loop_.handler(timer_, [this, devices](error_code, std::size_t) {
        devices_ = devices;
        look_at_mps();
        look_at_slices();
      }));
    };
    const std::string& folder = options_.placement.rules.slices_folder;
    watch_ = std::make_unique<slices::DeviceWatch>(heard, slices::DeviceWatch::kPeriod,
                                                   options_.want_mps ? folder : "");
    if (folder.empty()) return;
    tenancy_ = std::make_unique<slices::Tenancy>(folder, [this](const auto& withheld) {
      boost::asio::post(loop_.io, loop_.handler(timer_, [this, withheld](error_code, std::size_t) {
        withheld_ = withheld;
        look_at_slices();
      }));
    });
  }

  // By its name, as no reading need have seen it yet.
  static bool is_hit(const slices::Slice& slice, const CardFailure& failure) {
    const std::string_view place = slices::place_in(slice.name);
    std::string hit = std::to_string(failure.gpu);
    if (place == hit) return true;
    if (failure.gpu_instance) hit += fmt::format("/{}", *failure.gpu_instance);
    if (place == hit) return true;
    if (failure.compute_instance) hit += fmt::format("/{}", *failure.compute_instance);
    return place == hit || (!failure.compute_instance && place.starts_with(hit + "/"));
  }

  void look_at_slices() {
    for (ReplicaId replica = 0; replica < places_.size(); ++replica) {
      Place& place = places_[replica];
      if (!is_on_card(place)) continue;
      if (!place.slice_lost) check_slice(replica);
      if (place.waiting && (!place.slice_lost || find_slice(replica)) && is_packed(place.model))
        launch(replica);
    }
  }

  void check_slice(ReplicaId replica) {
    for (const slices::Slice& slice : places_[replica].seat.slices()) {
      const std::string& uuid = slice.uuid;
      const auto withheld = withheld_.find(uuid);
      const bool is_there =
          !devices_ || std::ranges::find(*devices_, uuid, &slices::Device::uuid) != devices_->end();
      if (is_there && withheld == withheld_.end()) continue;
      return lose_slice(replica, slice, is_there ? withheld->second : "vanished");
    }
  }

  std::vector<slices::Device> usable_devices() const {
    std::vector<slices::Device> usable = devices_.value_or(std::vector<slices::Device>());
    std::erase_if(usable, [this](const slices::Device& one) {
      return unusable_.contains(one.gpu) || withheld_.contains(one.uuid);
    });
    return usable;
  }

  // What a replica keeps: all of its slices, but where it lost one that, and what is asked back.
  bool keeps(const Place& place, const slices::Slice& slice) const {
    return !place.slice_lost || (slice.uuid != place.lost_uuid && !withheld_.contains(slice.uuid));
  }

  // Where replicas run, or end, or are to start once they have all their slices.
  void tell_tenancy() {
    if (!tenancy_) return;
    slices::Tenancy::ByUuid occupied;
    for (const Place& place : places_)
      if (is_on_card(place))
        for (const slices::Slice& slice : place.seat.slices())
          if (place.session || keeps(place, slice)) occupied[slice.uuid] = slice.name;
    if (occupied != occupied_) tenancy_->occupy(occupied_ = std::move(occupied));
  }

  void lose_slice(ReplicaId replica, const slices::Slice& slice, const std::string& how) {
    Place& place = places_[replica];
    log(LogLevel::warn, "slice {} ({}) of replica {} {}", slice.name, slice.uuid,
        replica_name(replica), how);
    place.slice_lost = true;
    place.lost_uuid = slice.uuid;
    place.lost_how = fmt::format("{} {}", slice.name, how);
    // Those of the other ranks too: whether a card has room for one is seen by what is free there.
    for (const slices::Slice& one : place.seat.slices()) drop_card_weights(one.uuid);
    if (place.session) place.session->lose_slice(place.lost_how);
  }

  // Finds another slice for a replica that is to start. False: it waits for one.
  bool find_slice(ReplicaId replica) {
    Place& place = places_[replica];
    std::vector<slices::Slice> taken;
    for (const Place& other : places_)
      if (&other != &place && is_on_card(other))
        std::ranges::copy_if(other.seat.slices(), std::back_inserter(taken),
                             [&](const slices::Slice& one) { return keeps(other, one); });
    auto seat = slices::find_replacement(machine_, usable_devices(), place.seat, taken,
                                         options_.placement.rules);
    if (!seat) {
      if (!std::exchange(place.said, true)) say_later(replica, why_it_waits(place));
      return false;
    }
    const bool is_back = std::ranges::equal(seat->slices(), place.seat.slices(), {},
                                            &slices::Slice::uuid, &slices::Slice::uuid);
    log(LogLevel::info, "replica {} {} {}", replica_name(replica),
        is_back ? "starts again on" : fmt::format("moves from {} to", place.seat.slice.name),
        seat->slice.name);
    place.seat = std::move(*seat);
    place.slice_lost = false;
    if (std::exchange(place.said, false)) say_later(replica, "");
    return true;
  }

  static std::string why_it_waits(const Place& place) {
    return fmt::format("slice {}, and no free slice of its kind{} has {} to use", place.lost_how,
                       place.seat.allowed.empty() ? "" : " in the model's list",
                       human_bytes(static_cast<double>(place.seat.needed_bytes)));
  }

  // ---- MPS

  bool is_mps_client(const Place& place) const {
    return options_.want_mps && place.seat.slice.kind == slices::SliceKind::mps;
  }

  std::optional<slices::MpsLife> present_life(const Place& place) const {
    return slices::mps_life(options_.placement.rules.slices_folder, place.seat.slice.uuid);
  }

  // The clients of a daemon are one: what befell it befell them all.
  void look_at_mps() {
    for (ReplicaId replica = 0; replica < places_.size(); ++replica) {
      Place& place = places_[replica];
      if (!is_mps_client(place) || !place.session || place.slice_lost) continue;
      const auto device =
          std::ranges::find(*devices_, place.seat.slice.uuid, &slices::Device::uuid);
      if (device == devices_->end() || std::exchange(place.mps, device->mps) == device->mps)
        continue;
      log(LogLevel::warn, "replica {} on {} starts again: its MPS daemon {}", replica_name(replica),
          place.seat.slice.name,
          device->mps ? "was started again, or a client had a fault" : "is gone");
      place.session->lose_slice(place.seat.slice.name + " lost its MPS daemon");
    }
  }

  // Without its daemon a client would share the device in turns, in silence: it waits.
  bool join_mps(Place& place) {
    if (!is_mps_client(place)) return true;
    place.mps = present_life(place);
    if (!place.mps) options_.want_mps(place.seat.slice.uuid);
    return place.mps.has_value();
  }

  void say_later(ReplicaId replica, const std::string& reason) {
    const Incarnation incarnation = *places_[replica].waiting;
    boost::asio::post(loop_.io, loop_.handler(timer_, [this, replica, incarnation, reason](
                                                          error_code, std::size_t) {
      listener_.replica_waits(replica, incarnation, reason);
    }));
  }

  // ---- processes

  // What a replica with a slice waits for on its card; empty: nothing.
  std::string what_is_missing(Place& place) {
    if (!is_on_card(place)) return "";
    if (!join_mps(place))
      return fmt::format("slice {} has no MPS daemon yet", place.seat.slice.name);
    for (std::size_t rank = 0; rank < place.seat.slices().size(); ++rank)
      if (const auto maker = card_weights_of(place, rank).maker)
        return fmt::format("replica {} is bringing the weights to the card of slice {}",
                           replica_name(*maker), slice_of(place, rank).name);
    return "";
  }

  bool is_complete(ReplicaId replica) {
    Place& place = places_[replica];
    const std::string missing = what_is_missing(place);
    const bool waits = !missing.empty();
    if (std::exchange(place.said, waits) != waits) say_later(replica, missing);
    return !waits;
  }

  // The copy of the weights that a replica is to map, or -1: it makes one.
  int join_card_weights(ReplicaId replica, std::size_t rank) {
    const Place& place = places_[replica];
    if (!is_on_card(place)) return -1;
    CardWeights& there = card_weights_of(place, rank);
    if (!there.fd && !there.apart) there.maker = replica;
    return there.fd.get();
  }

  void launch(ReplicaId replica) {
    Place& place = places_[replica];
    if (place.slice_lost || !is_complete(replica)) return;  // it is launched when it has all
    const Incarnation incarnation = *std::exchange(place.waiting, std::nullopt);
    SessionOptions options{replica,
                           incarnation,
                           program_of(place),
                           options_.replica_environment,
                           limits_for(options_.models[place.model].spec),
                           is_on_card(place) ? options_.models[place.model].streams : 1,
                           ranks_of(replica)};
    auto session = Session::start(
        loop_, std::move(options),
        {listener_, oom_,
         [this](Session& one, std::vector<Fd> made) { take_ready(one, std::move(made)); },
         [this](Session& ended) { take_end(ended); }});
    if (session.ok()) {
      place.session = std::move(*session);
      return;
    }
    report_later(replica, incarnation, session.error().message);
    give_up_making(replica);
  }

  std::vector<RankOptions> ranks_of(ReplicaId replica) {
    const Place& place = places_[replica];
    const std::vector<Weights>& weights = weights_[place.model];
    const auto count = static_cast<std::uint32_t>(weights.size());
    std::vector<slices::Slice> parts(place.seat.slices().begin(), place.seat.slices().end());
    if (parts.size() < count) parts = slices::cut_slice(machine_, place.seat.slice, count);
    // NCCL's ranks find each other by sockets, which need not be seen outside of this machine.
    if (options_.models[place.model].ranks > 1 && is_on_card(place))
      for (slices::Slice& part : parts) part.environment.emplace_back("NCCL_SOCKET_IFNAME=lo");
    const std::vector<model::Shard> shards = shards_of(place.model);
    std::vector<RankOptions> ranks;
    for (std::size_t rank = 0; rank < count; ++rank)
      ranks.push_back({shards[rank], std::move(parts[shards[rank].place()]), weights[rank].fd.get(),
                       join_card_weights(replica, rank)});
    return ranks;
  }

  void take_end(Session& ended) {
    Place& place = places_[ended.replica()];
    // Of what befell its daemon, though the watch has not seen it yet.
    if (is_mps_client(place) && present_life(place) != place.mps)
      ended.lose_slice(place.seat.slice.name + " lost its MPS daemon");
    place.session.reset();
    give_up_making(ended.replica());
  }

  // Exits of replicas that never had a process. Later, since the listener is not called from
  // within its own calls.
  void report_later(ReplicaId replica, Incarnation incarnation, const std::string& reason) {
    core::ExitReport report{core::ExitReport::Kind::spawn_failed, 0, false, reason};
    boost::asio::post(loop_.io, loop_.handler(timer_, [this, replica, incarnation, report](
                                                          error_code, std::size_t) {
      listener_.replica_exit(replica, incarnation, report);
    }));
  }

  void fail_waiting(std::size_t model, const std::string& reason) {
    for (ReplicaId replica = 0; replica < places_.size(); ++replica) {
      Place& place = places_[replica];
      if (place.model == model && place.waiting)
        report_later(replica, *std::exchange(place.waiting, std::nullopt), reason);
    }
  }

  bool forget_waiting(ReplicaId replica, Incarnation incarnation) {
    Place& place = places_.at(replica);
    if (place.waiting != incarnation) return false;
    place.waiting.reset();
    report_later(replica, incarnation,
                 "ended while it waited for its weights, a slice or its MPS daemon");
    return true;
  }

  // ---- watching

  void set_timer(std::chrono::milliseconds period) {
    period_ = period;
    timer_->expires_after(period);
    timer_->async_wait(loop_.handler(timer_, [this](error_code error, std::size_t) {
      if (!error) tick();
    }));
  }

  void tick() {
    const TimeUs now_us = monotonic_us();
    bool busy = now_us < last_submit_us_ + kStayBusyUs;
    for (std::size_t i = 0; i < places_.size(); ++i) {
      const auto session = places_[i].session;  // the listener may replace it
      if (!session) continue;
      session->sample(now_us);
      busy = busy || session->busy();
    }
    for (auto& ranks : weights_)
      for (Weights& weights : ranks)
        if (weights.packing) weights.packing->end_if_stopped();
    tell_tenancy();
    if (now_us >= last_oom_us_ + kOomPeriodUs) {
      oom_.forget_old();
      last_oom_us_ = now_us;
    }
    set_timer(busy ? kBusyPeriod : kIdlePeriod);
  }

  Loop loop_;
  FleetOptions options_;
  FleetListener& listener_;
  const slices::Machine machine_;
  OomWatch oom_;
  std::vector<std::vector<Weights>> weights_;  // of each model by rank
  // By model, rank, and the UUID of the card or MIG device.
  std::map<std::tuple<std::size_t, std::size_t, std::string>, CardWeights> card_weights_;
  std::vector<Place> places_;  // one a replica
  std::shared_ptr<boost::asio::steady_timer> timer_;
  std::chrono::milliseconds period_ = kIdlePeriod;
  TimeUs last_submit_us_ = -kStayBusyUs;
  TimeUs last_oom_us_ = 0;
  // Where there are slices of cards:
  std::optional<std::vector<slices::Device>> devices_;  // as the watch saw them last
  std::set<unsigned> unusable_;                         // cards that failed for good
  slices::Tenancy::ByUuid withheld_;                    // as the tenancy says
  slices::Tenancy::ByUuid occupied_;                    // as it was told last
  std::unique_ptr<slices::DeviceWatch> watch_;
  std::unique_ptr<slices::Tenancy> tenancy_;
};

}  // namespace

Result<std::unique_ptr<Fleet>> Fleet::create(boost::asio::io_context& io, std::mutex& mutex,
                                             FleetOptions options, FleetListener& listener) {
  if (::access(options.replica_program.c_str(), X_OK) != 0)
    return errno_error("replica program " + options.replica_program, errno);
  std::size_t replicas = 0;
  for (const FleetModel& model : options.models) replicas += model.replicas;
  if (replicas != options.placement.replicas.size())
    return Error{ErrorCode::internal, fmt::format("{} replicas are to run, and {} have a slice",
                                                  replicas, options.placement.replicas.size())};
  SHEAF_ASSIGN(slices::Machine machine, slices::detect_machine());
  return std::unique_ptr<Fleet>(
      std::make_unique<Driver>(io, mutex, std::move(options), listener, std::move(machine)));
}

}  // namespace sheaf::fleet
