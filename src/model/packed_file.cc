#include "model/packed_file.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/on_cores.h"
#include "model/spec/json_file.h"
#include "model/spec/spec_json.h"

namespace sheaf::model {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(PackedTensor, name, rows, columns, floats, offset)

namespace {

using nlohmann::json;

constexpr std::array<char, 8> kMagic = {'S', 'H', 'E', 'A', 'F', 'W', 'T', 'S'};
constexpr std::uint32_t kVersion = 6;
// What cuBLASLt has the most algorithms for, where a card holds the file as it is.
constexpr std::uint64_t kAlignment = 256;
constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kNumbersPerFloat = 4;  // at most
const std::string kFile = "packed weights";    // what errors call the file: a memfd has no path

struct Header {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint32_t json_bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t json_hash =
      0;  // FNV-1a: catches damage, not malice; all values are checked besides
  std::array<std::uint64_t, 4> unused = {};
};
static_assert(sizeof(Header) == 64);

std::uint64_t round_up(std::uint64_t n, std::uint64_t to) { return (n + to - 1) / to * to; }

std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash;
}

std::uint64_t data_begin_of(std::uint64_t json_bytes) {
  return round_up(sizeof(Header) + json_bytes, kPage);
}

Error damaged(const std::string& what) { return {ErrorCode::corrupt, kFile + ": " + what}; }

// Lays the tensors one after the other; returns their total length.
std::uint64_t place(std::vector<PackedTensorSource>& sources) {
  std::uint64_t end = 0;
  for (PackedTensorSource& source : sources) {
    source.tensor.offset = end;
    end = round_up(end + source.tensor.floats * sizeof(float), kAlignment);
  }
  return end;
}

// [index, count, first layer, layers]
json to_json(const Stage& stage) {
  return {stage.index, stage.count, stage.first_layer, stage.layers};
}
Stage stage_from_json(const json& stage) {
  const auto number = [&](std::size_t i) { return stage.at(i).get<std::uint32_t>(); };
  return {number(0), number(1), number(2), number(3)};
}

// null: all of them
json to_json(const Fp8Layers& layers) { return layers ? json(*layers) : json(); }
Fp8Layers fp8_layers_from_json(const json& layers) {
  if (layers.is_null()) return std::nullopt;
  std::vector<std::uint32_t> numbers;
  // One beyond 32 bits must not come out as a smaller one that a model may have.
  for (const json& layer : layers)
    numbers.push_back(static_cast<std::uint32_t>(
        std::min<std::uint64_t>(layer.get_ref<const json::number_unsigned_t&>(),
                                std::numeric_limits<std::uint32_t>::max())));
  return numbers;
}

std::string describe(const PackedHead& head, const std::vector<PackedTensorSource>& sources) {
  json tensors = json::array();
  for (const PackedTensorSource& source : sources) tensors.push_back(source.tensor);
  return json{{"backend", head.backend},
              {"spec", to_json(head.spec)},
              {"rank", head.shard.rank},
              {"ranks", head.shard.ranks},
              {"stage", to_json(head.shard.stage)},
              {"fp8_layers", to_json(head.fp8_layers)},
              {"tensors", std::move(tensors)}}
      .dump();
}

Status check_tensor(const PackedTensor& tensor, std::uint64_t data_bytes) {
  std::uint64_t bytes = 0;
  std::uint64_t elements = 0;
  std::uint64_t end = 0;
  if (__builtin_mul_overflow(tensor.floats, sizeof(float), &bytes) ||
      __builtin_mul_overflow(tensor.rows, tensor.columns, &elements) ||
      elements / kNumbersPerFloat > tensor.floats)
    return damaged(
        fmt::format("tensor '{}': field 'floats' cannot be {}", tensor.name, tensor.floats));
  if (tensor.offset % kAlignment != 0 || __builtin_add_overflow(tensor.offset, bytes, &end) ||
      end > data_bytes)
    return damaged(
        fmt::format("tensor '{}': field 'offset' {} leaves the file", tensor.name, tensor.offset));
  return {};
}

Result<std::string_view> checked_json(std::span<const std::byte> file) {
  Header header;
  if (file.size() < sizeof header)
    return damaged(fmt::format("{} bytes, too short for a header", file.size()));
  std::memcpy(&header, file.data(), sizeof header);
  if (header.magic != kMagic) return damaged("field 'magic' is wrong");
  if (header.version != kVersion)
    return damaged(
        fmt::format("field 'version' is {}, this program reads {}", header.version, kVersion));
  if (header.file_bytes != file.size())
    return damaged(
        fmt::format("field 'file_bytes' is {}, but there are {}", header.file_bytes, file.size()));
  if (data_begin_of(header.json_bytes) > file.size())
    return damaged(fmt::format("field 'json_bytes' {} leaves the file", header.json_bytes));
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + sizeof header,
                              header.json_bytes);
  if (hash_of(text) != header.json_hash)
    return damaged("field 'json_hash' does not match the description");
  return text;
}

struct Begun {
  Mapping file;
  std::byte* data = nullptr;  // where the tensors begin
};

// Places the tensors and writes all but them.
Result<Begun> begin_file(int fd, const PackedHead& head, std::vector<PackedTensorSource>& tensors) {
  const std::uint64_t data_bytes = place(tensors);
  const std::string text = describe(head, tensors);
  Header header;
  header.json_bytes = static_cast<std::uint32_t>(text.size());
  header.json_hash = hash_of(text);
  header.file_bytes = data_begin_of(text.size()) + data_bytes;
  if (::ftruncate(fd, static_cast<off_t>(header.file_bytes)) != 0)
    return errno_error(fmt::format("{} of {} bytes", kFile, header.file_bytes), errno);
  SHEAF_ASSIGN(Mapping mapping, Mapping::map(fd, header.file_bytes, Mapping::Access::read_write));
  mapping.use_huge_pages();
  std::memcpy(mapping.data(), &header, sizeof header);
  std::memcpy(mapping.data() + sizeof header, text.data(), text.size());
  std::byte* data = mapping.data() + data_begin_of(text.size());
  return Begun{std::move(mapping), data};
}

}  // namespace

Status write_packed_outline(int fd, const PackedHead& head,
                            std::vector<PackedTensorSource> tensors) {
  SHEAF_ASSIGN(std::ignore, begin_file(fd, head, tensors));
  return {};
}

Status write_packed_file(int fd, const PackedHead& head, std::vector<PackedTensorSource> tensors) {
  SHEAF_ASSIGN(Begun begun, begin_file(fd, head, tensors));
  std::vector<std::size_t> largest_first(tensors.size());
  std::iota(largest_first.begin(), largest_first.end(), std::size_t{0});
  std::ranges::stable_sort(largest_first, std::ranges::greater(),
                           [&](std::size_t i) { return tensors[i].tensor.floats; });
  std::vector<char> finite(tensors.size());  // not bool, whose neighbours share a byte
  on_cores(tensors.size(), [&](std::size_t turn) {
    const std::size_t i = largest_first[turn];
    finite[i] = tensors[i].fill(reinterpret_cast<float*>(begun.data + tensors[i].tensor.offset));
  });
  for (std::size_t i = 0; i < tensors.size(); ++i)
    if (finite[i] == 0)
      return Error{ErrorCode::corrupt,
                   fmt::format("model.safetensors: tensor '{}' holds a value that is not finite",
                               tensors[i].tensor.name)};
  return {};
}

Result<PackedFile> PackedFile::open(Mapping mapping) {
  SHEAF_ASSIGN(const std::string_view text, checked_json(std::as_const(mapping).bytes()));
  SHEAF_ASSIGN(const json root, parse_json(text, kFile));
  PackedFile file;
  try {
    PackedHead& head = file.head_;
    head.backend = root.at("backend").get<std::string>();
    head.shard = {root.at("rank").get<std::uint32_t>(), root.at("ranks").get<std::uint32_t>(),
                  stage_from_json(root.at("stage"))};
    head.fp8_layers = fp8_layers_from_json(root.at("fp8_layers"));
    file.tensors_ = root.at("tensors").get<std::vector<PackedTensor>>();
    SHEAF_ASSIGN(head.spec, spec_from_json(root.at("spec").get_ref<const std::string&>(), kFile));
  } catch (const json::exception&) {
    return damaged("a field is missing or of another type");
  }
  SHEAF_TRY(check_shard(file.spec(), file.shard()));
  if (const Status layers = check_fp8_layers(file.spec(), file.fp8_layers()); !layers.ok())
    return damaged("field 'fp8_layers': " + layers.error().message);
  file.data_begin_ = data_begin_of(text.size());
  for (const PackedTensor& tensor : file.tensors_)
    SHEAF_TRY(check_tensor(tensor, mapping.size() - file.data_begin_));
  std::ranges::sort(file.tensors_, {}, &PackedTensor::name);
  file.mapping_ = std::move(mapping);
  return file;
}

Result<const float*> PackedFile::find(std::string_view name, std::uint64_t rows,
                                      std::uint64_t columns, std::uint64_t floats) const {
  const auto view = [](const PackedTensor& tensor) -> std::string_view { return tensor.name; };
  const auto at = std::ranges::lower_bound(tensors_, name, {}, view);
  if (at == tensors_.end() || at->name != name)
    return damaged(fmt::format("tensor '{}' is missing", name));
  if (at->rows != rows || at->columns != columns || at->floats != floats)
    return damaged(fmt::format("tensor '{}' is [{}, {}] in {} floats, not [{}, {}] in {}", name,
                               at->rows, at->columns, at->floats, rows, columns, floats));
  return reinterpret_cast<const float*>(mapping_.data() + data_begin_ + at->offset);
}

}  // namespace sheaf::model
