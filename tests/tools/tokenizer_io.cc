// Runs a tokenizer over standard input for tests/tokenizer_differential.py, or times it.
//
//   tokenizer_io TOKENIZER_JSON
//     Records on standard input, answers on standard output; numbers are 32-bit, of this machine's
//     order. In:  kind, max_tokens, flags, byte count, bytes.
//       kind 0: encode; kind 1: encode with places; kind 2: decode, the bytes being ids;
//       kind 3: encode a pair, the bytes being the first text's byte count, it, and the second text
//       flags 1: special tokens (kind 2: leave them out); 2: cut the left side
//     Out: kind 0: total, count, ids
//          kind 1: total 0, count, then for each token id, special, start, stop, byte count, bytes
//          kind 2: 1 and byte count, bytes; or 0 and an error
//          kind 3: total, where the second text's type begins, count, ids
//   tokenizer_io TOKENIZER_JSON --time TEXT_FILE IDS_FILE [THREADS]
//     Writes the ids of all lines of the text, end to end, and prints load time and their number.
//     Then, for every line of standard input, encodes the text again and again for 0.3 s, each of
//     THREADS (1) by itself, and prints what one time took: the time passed, and that of
//     processors, both divided by the times of all. So bench/peers can take turns with another
//     program.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tokenizer/tokenizer.h"

namespace {

using sheaf::tokenizer::EncodeOptions;
using sheaf::tokenizer::Side;
using sheaf::tokenizer::Token;
using sheaf::tokenizer::Tokenizer;

// Of processor time, so that other programs on the machine count little.
double seconds_used() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

void write_number(std::int64_t value) {
  const auto number = static_cast<std::int32_t>(value);
  std::fwrite(&number, sizeof number, 1, stdout);
}

void write_text(const std::string& text) {
  write_number(static_cast<std::int64_t>(text.size()));
  std::fwrite(text.data(), 1, text.size(), stdout);
}

struct Record {
  std::uint32_t kind, max_tokens, flags, size;
  EncodeOptions options() const {
    return {(flags & 1) != 0, max_tokens, (flags & 2) != 0 ? Side::left : Side::right};
  }
};

void answer_encode(const Tokenizer& tokenizer, const Record& record, const std::string& text) {
  std::vector<std::int32_t> ids;
  write_number(static_cast<std::int64_t>(tokenizer.encode(text, record.options(), ids).value()));
  write_number(static_cast<std::int64_t>(ids.size()));
  std::fwrite(ids.data(), sizeof(std::int32_t), ids.size(), stdout);
}

void answer_tokens(const Tokenizer& tokenizer, const Record& record, const std::string& text) {
  const std::vector<Token> tokens = tokenizer.encode_tokens(text, record.options()).value();
  write_number(0);
  write_number(static_cast<std::int64_t>(tokens.size()));
  for (const Token& token : tokens) {
    write_number(token.id);
    write_number(token.special ? 1 : 0);
    write_number(token.start);
    write_number(token.stop);
    write_text(token.text);
  }
}

void answer_decode(const Tokenizer& tokenizer, const Record& record, const std::string& bytes) {
  std::vector<std::int32_t> ids(bytes.size() / sizeof(std::int32_t));
  std::memcpy(ids.data(), bytes.data(), ids.size() * sizeof(std::int32_t));
  const auto text = tokenizer.decode(ids, (record.flags & 1) != 0);
  write_number(text.ok() ? 1 : 0);
  write_text(text.ok() ? text.value() : text.error().message);
}

void answer_pair(const Tokenizer& tokenizer, const Record& record, std::string_view bytes) {
  std::uint32_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  const std::string_view first = bytes.substr(sizeof size, size);
  const std::string_view second = bytes.substr(sizeof size + size);
  std::vector<std::int32_t> ids;
  const auto pair = tokenizer.encode_pair(first, second, record.options(), ids).value();
  write_number(static_cast<std::int64_t>(pair.tokens));
  write_number(static_cast<std::int64_t>(pair.second_at));
  write_number(static_cast<std::int64_t>(ids.size()));
  std::fwrite(ids.data(), sizeof(std::int32_t), ids.size(), stdout);
}

int answer_all(const Tokenizer& tokenizer) {
  Record record;
  std::string bytes;
  while (std::fread(&record, sizeof record, 1, stdin) == 1) {
    bytes.resize(record.size);
    if (std::fread(bytes.data(), 1, bytes.size(), stdin) != bytes.size()) return 1;
    if (record.kind == 0) answer_encode(tokenizer, record, bytes);
    if (record.kind == 1) answer_tokens(tokenizer, record, bytes);
    if (record.kind == 2) answer_decode(tokenizer, record, bytes);
    if (record.kind == 3) answer_pair(tokenizer, record, bytes);
  }
  return 0;
}

std::vector<std::string> lines_of(const char* path) {
  std::vector<std::string> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line); lines.push_back(line)) {
  }
  return lines;
}

std::vector<std::int32_t> encode_all(const Tokenizer& tokenizer,
                                     const std::vector<std::string>& lines) {
  std::vector<std::int32_t> ids;
  for (const std::string& line : lines) (void)tokenizer.encode(line, {}, ids).value();
  return ids;
}

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// How often one thread can encode all lines in 0.3 s, begun and ended ones.
int encode_for_a_while(const Tokenizer& tokenizer, const std::vector<std::string>& lines) {
  std::vector<std::int32_t> ids;
  const auto start = Clock::now();
  int times = 0;
  for (; seconds_since(start) < 0.3; ++times) {
    for (const std::string& line : lines) {
      ids.clear();
      (void)tokenizer.encode(line, {}, ids).value();
    }
  }
  return times;
}

void time_turn(const Tokenizer& tokenizer, const std::vector<std::string>& lines, int threads) {
  const auto start = Clock::now();
  const double cpu_start = seconds_used();
  std::atomic<int> times = 0;
  std::vector<std::thread> others;
  const auto work = [&] { times += encode_for_a_while(tokenizer, lines); };
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  std::cout << "{\"wall\": " << seconds_since(start) / times
            << ", \"cpu\": " << (seconds_used() - cpu_start) / times << "}" << std::endl;
}

int time_encoding(const Tokenizer& tokenizer, double load_seconds, char** paths, int threads) {
  const std::vector<std::string> lines = lines_of(paths[0]);
  const std::vector<std::int32_t> ids = encode_all(tokenizer, lines);
  std::ofstream(paths[1], std::ios::binary)
      .write(reinterpret_cast<const char*>(ids.data()),
             static_cast<std::streamsize>(ids.size() * sizeof(std::int32_t)));
  std::cout << "{\"load_ms\": " << load_seconds * 1e3 << ", \"tokens\": " << ids.size() << "}"
            << std::endl;
  for (std::string turn; std::getline(std::cin, turn);) time_turn(tokenizer, lines, threads);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 5 && argc != 6) return 2;
  const auto start = seconds_used();
  const auto tokenizer = Tokenizer::load(argv[1]);
  const double load_seconds = seconds_used() - start;
  if (!tokenizer.ok()) {
    std::cerr << tokenizer.error().message << "\n";
    return 1;
  }
  if (argc > 2) {
    const int threads = argc == 6 ? std::atoi(argv[5]) : 1;
    return time_encoding(**tokenizer, load_seconds, argv + 3, threads);
  }
  return answer_all(**tokenizer);
}
