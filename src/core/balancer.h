#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/core.h"
#include "core/random.h"

namespace sheaf::core {

// What a policy may know of a ready replica.
struct Candidate {
  bool room = false;               // may be sent a batch now
  double tokens_per_s = 0;         // learnt, > 0
  TimeUs free_us = 0;              // when it will probably have done all it has; not before now
  std::uint64_t tokens_open = 0;   // in flight and in its own queue
  std::uint64_t tokens_bound = 0;  // in its own queue
  std::uint64_t tokens_bound_max = 0;
  std::uint64_t split_minimum = 0;  // tokens, see batcher.h
};

// "The replica at this position may take about this many tokens of the common queue."
struct Share {
  std::size_t candidate = 0;
  std::uint64_t tokens = 0;
};

// A policy. The pool asks bind() when a request arrives, and serve() whenever items wait in the
// common queue, until it declines.
class Balancer {
 public:
  virtual ~Balancer() = default;

  // The replica whose own queue takes a request of `tokens`; none: the common queue. Policies that
  // bind late always say none; those that bind at arrival do when no replica's queue has room.
  virtual std::optional<std::size_t> bind(std::span<const Candidate> ready,
                                          std::uint64_t tokens) = 0;

  // Who takes the next batch from the common queue, of those with room; none: waiting for one that
  // is busy is better. (Under policies that bind at arrival, what dead replicas left is here.)
  virtual std::optional<Share> serve(TimeUs now_us, std::uint64_t queued_tokens,
                                     std::span<const Candidate> ready) = 0;
};

std::unique_ptr<Balancer> make_balancer(Policy policy, std::uint64_t seed);

}  // namespace sheaf::core
