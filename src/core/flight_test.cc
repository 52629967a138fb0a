#include "core/flight.h"

#include <gtest/gtest.h>

namespace sheaf::core {
namespace {

Batch batch(BatchId id, std::uint32_t items, std::uint32_t tokens) {
  Batch made;
  made.id = id;
  made.items.resize(items);
  made.tokens = tokens;
  return made;
}

TEST(Flight, ExpectsBatchesOneAfterTheOther) {
  Rate rate(10'000);
  Flight flight;
  EXPECT_EQ(flight.free_us(7, rate), 7);
  flight.add(0, batch(1, 2, 1'000));
  flight.add(10'000, batch(2, 2, 500));
  EXPECT_EQ(flight.tokens(), 1'500U);
  EXPECT_EQ(flight.free_us(20'000, rate), 150'000);
  EXPECT_EQ(flight.finish(90'000, 1).id, 1U);  // early: the second begins now
  EXPECT_EQ(flight.oldest().begun_us, 90'000);
  EXPECT_EQ(flight.free_us(90'000, rate), 140'000);
}

TEST(Flight, AnOverdueBatchIsExpectedToTakeAsLongAgain) {
  Rate rate(10'000);
  Flight flight;
  flight.add(0, batch(1, 2, 1'000));
  EXPECT_EQ(flight.free_us(100'000, rate), 100'000);
  EXPECT_EQ(flight.free_us(300'000, rate), 500'000);
}

TEST(Flight, LanesShareTheRate) {
  const Rate rate(10'000);
  Flight flight;
  flight.set_lanes(2);
  flight.add(0, batch(1, 2, 1'000));
  EXPECT_EQ(flight.lane_free_us(0, rate), 0);
  EXPECT_EQ(flight.free_us(0, rate), 100'000);
  flight.add(50'000, batch(2, 3, 1'000));
  EXPECT_FALSE(flight.is_full());
  EXPECT_EQ(flight.items_running(), 5U);
  EXPECT_EQ(flight.free_us(50'000, rate), 50'000 + (150'000 + 200'000) / 2);
  EXPECT_EQ(flight.lane_free_us(50'000, rate), 200'000);
  EXPECT_EQ(flight.next_due_us(50'000, 10'000, rate), 190'000);
  flight.add(60'000, batch(3, 1, 500));
  EXPECT_TRUE(flight.is_full());
  EXPECT_EQ(flight.tokens_running(), 2'000U);
  EXPECT_EQ(flight.items_running(), 5U) << "the third waits";
  EXPECT_EQ(flight.next_due_us(195'000, 10'000, rate), 240'000) << "the first one's is past";
}

TEST(Flight, TheNextBatchBeginsInWhicheverLaneIsFree) {
  const Rate rate(10'000);
  Flight flight;
  flight.set_lanes(2);
  for (BatchId id = 1; id <= 3; ++id) flight.add(0, batch(id, 1, 1'000));
  flight.finish(150'000, 2);
  EXPECT_EQ(flight.oldest().id, 1U);
  EXPECT_EQ(flight.oldest().begun_us, 0);
  EXPECT_EQ(flight.find(3)->begun_us, 150'000);
  flight.finish(200'000, 1);
  EXPECT_EQ(flight.oldest().id, 3U);
  EXPECT_EQ(flight.oldest().begun_us, 150'000);
  EXPECT_EQ(flight.lane_free_us(200'000, rate), 200'000);
  EXPECT_FALSE(flight.find(3)->alone);
}

TEST(Flight, AloneMeansAloneAllTheTime) {
  Flight flight;
  flight.add(0, batch(1, 1, 10));
  EXPECT_TRUE(flight.oldest().alone);
  flight.add(0, batch(2, 1, 10));
  EXPECT_FALSE(flight.find(1)->alone) << "another came beside it";
  EXPECT_FALSE(flight.find(2)->alone) << "another was there before it";
  flight.take_all();
  flight.add(0, batch(3, 2, 10));
  EXPECT_FALSE(flight.oldest().alone) << "two items";
}

TEST(Flight, FindsOnlyWhatItHas) {
  Flight flight;
  flight.add(0, batch(1, 1, 10));
  EXPECT_EQ(flight.find(2), nullptr);
  EXPECT_EQ(flight.take_all().size(), 1U);
  EXPECT_EQ(flight.find(1), nullptr);
  EXPECT_EQ(flight.tokens(), 0U);
}

}  // namespace
}  // namespace sheaf::core
