#include "model/spec/safetensors.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include "model/spec/json_file.h"

namespace sheaf::model {
namespace {

using nlohmann::json;

constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxDimensions = 8;

std::optional<std::uint64_t> dtype_bytes(std::string_view dtype) {
  struct Row {
    std::string_view name;
    std::uint64_t bytes;
  };
  static constexpr std::array<Row, 15> kRows = {{{"F64", 8},
                                                 {"F32", 4},
                                                 {"F16", 2},
                                                 {"BF16", 2},
                                                 {"F8_E4M3", 1},
                                                 {"F8_E5M2", 1},
                                                 {"I64", 8},
                                                 {"I32", 4},
                                                 {"I16", 2},
                                                 {"I8", 1},
                                                 {"U64", 8},
                                                 {"U32", 4},
                                                 {"U16", 2},
                                                 {"U8", 1},
                                                 {"BOOL", 1}}};
  for (const Row& row : kRows)
    if (row.name == dtype) return row.bytes;
  return std::nullopt;
}

// Reads one header field after the other; every complaint names file, tensor and field.
class EntryReader {
 public:
  EntryReader(const std::string& path, const std::string& name, std::uint64_t data_begin,
              std::uint64_t data_bytes)
      : path_(path), name_(name), data_begin_(data_begin), data_bytes_(data_bytes) {}

  Result<TensorEntry> read(const json& value) const {
    if (!value.is_object())
      return complain("dtype", fmt::format("is missing ({})", value.type_name()));
    for (const auto& [field, unused] : value.items())
      if (field != "dtype" && field != "shape" && field != "data_offsets")
        return complain(field, "is unknown");
    TensorEntry entry{.name = name_};
    SHEAF_TRY(read_dtype(value, entry));
    SHEAF_TRY(read_shape(value, entry));
    SHEAF_TRY(read_offsets(value, entry));
    return entry;
  }

 private:
  Status read_dtype(const json& value, TensorEntry& entry) const {
    const auto at = value.find("dtype");
    if (at == value.end() || !at->is_string()) return complain("dtype", "is not a string");
    entry.dtype = at->get<std::string>();
    if (!dtype_bytes(entry.dtype))
      return complain("dtype", fmt::format("'{}' is unknown", entry.dtype));
    return {};
  }

  Status read_shape(const json& value, TensorEntry& entry) const {
    const auto at = value.find("shape");
    if (at == value.end() || !at->is_array()) return complain("shape", "is not a list");
    if (at->size() > kMaxDimensions)
      return complain("shape",
                      fmt::format("has {} dimensions, more than {}", at->size(), kMaxDimensions));
    entry.bytes = *dtype_bytes(entry.dtype);
    for (const json& size : *at) {
      if (!size.is_number_unsigned()) return complain("shape", "holds something but whole numbers");
      entry.shape.push_back(size.get<std::uint64_t>());
      if (__builtin_mul_overflow(entry.bytes, entry.shape.back(), &entry.bytes))
        return complain("shape", "is larger than 2^64 bytes");
    }
    return {};
  }

  Status read_offsets(const json& value, TensorEntry& entry) const {
    const auto at = value.find("data_offsets");
    if (at == value.end() || !at->is_array() || at->size() != 2 || !(*at)[0].is_number_unsigned() ||
        !(*at)[1].is_number_unsigned())
      return complain("data_offsets", "is not a pair of whole numbers");
    const auto begin = (*at)[0].get<std::uint64_t>();
    const auto end = (*at)[1].get<std::uint64_t>();
    if (begin > end || end > data_bytes_)
      return complain("data_offsets",
                      fmt::format("[{}, {}] leaves the {} bytes of data", begin, end, data_bytes_));
    if (end - begin != entry.bytes)
      return complain("data_offsets", fmt::format("holds {} bytes where dtype and shape need {}",
                                                  end - begin, entry.bytes));
    entry.begin = data_begin_ + begin;
    return {};
  }

  Error complain(std::string_view field, const std::string& complaint) const {
    return {ErrorCode::corrupt,
            fmt::format("{}: tensor '{}': field '{}' {}", path_, name_, field, complaint)};
  }

  const std::string& path_;
  const std::string& name_;
  std::uint64_t data_begin_;
  std::uint64_t data_bytes_;
};

Status check_metadata(const json& value, const std::string& path) {
  bool good = value.is_object();
  if (good)
    for (const json& text : value) good = good && text.is_string();
  if (good) return {};
  return Error{ErrorCode::corrupt, path + ": field '__metadata__' is not an object of strings"};
}

// Ordered by place, tensors must follow each other exactly and end with the file.
Status check_coverage(std::vector<TensorEntry> entries, const std::string& path,
                      std::uint64_t data_begin, std::uint64_t file_bytes) {
  std::ranges::sort(entries, {}, [](const TensorEntry& e) { return std::pair(e.begin, e.bytes); });
  std::uint64_t end = data_begin;
  for (const TensorEntry& entry : entries) {
    if (entry.begin != end)
      return Error{
          ErrorCode::corrupt,
          fmt::format("{}: tensor '{}': field 'data_offsets' begins at {} where the tensor before "
                      "ends at {}",
                      path, entry.name, entry.begin - data_begin, end - data_begin)};
    end = entry.begin + entry.bytes;
  }
  if (end != file_bytes)
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: {} bytes follow the last tensor", path, file_bytes - end)};
  return {};
}

// The JSON part of the file.
Result<std::string_view> header_of(std::span<const std::byte> file, const std::string& path) {
  static_assert(std::endian::native == std::endian::little);
  std::uint64_t header_bytes = 0;
  if (file.size() < sizeof header_bytes)
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: {} bytes, too short for the header's length", path, file.size())};
  std::memcpy(&header_bytes, file.data(), sizeof header_bytes);
  constexpr std::string_view kPointer = "version https://git-lfs";
  if (std::string_view(reinterpret_cast<const char*>(file.data()), file.size())
          .starts_with(kPointer))
    return Error{ErrorCode::corrupt,
                 fmt::format("{}: is a pointer of Git LFS in place of the file: git lfs pull in "
                             "its folder fetches it",
                             path)};
  if (header_bytes > kMaxHeaderBytes || header_bytes > file.size() - sizeof header_bytes)
    return Error{ErrorCode::corrupt, fmt::format("{}: header length {} leaves the file of {} bytes",
                                                 path, header_bytes, file.size())};
  return std::string_view(reinterpret_cast<const char*>(file.data()) + sizeof header_bytes,
                          header_bytes);
}

}  // namespace

Result<TensorTable> TensorTable::parse(std::span<const std::byte> file, const std::string& path) {
  SHEAF_ASSIGN(const std::string_view header, header_of(file, path));
  SHEAF_ASSIGN(const json root, parse_json(header, path + " (header)", 4));
  if (!root.is_object()) return Error{ErrorCode::corrupt, path + ": header is not an object"};
  const std::uint64_t data_begin = sizeof(std::uint64_t) + header.size();
  TensorTable table;
  for (const auto& [name, value] : root.items()) {
    if (name == "__metadata__") {
      SHEAF_TRY(check_metadata(value, path));
      continue;
    }
    const EntryReader reader(path, name, data_begin, file.size() - data_begin);
    SHEAF_ASSIGN(TensorEntry entry, reader.read(value));
    table.entries_.push_back(std::move(entry));
  }
  SHEAF_TRY(check_coverage(table.entries_, path, data_begin, file.size()));
  std::ranges::sort(table.entries_, {}, &TensorEntry::name);
  return table;
}

const TensorEntry* TensorTable::find(std::string_view name) const {
  const auto at = std::ranges::lower_bound(
      entries_, name, {}, [](const TensorEntry& e) -> std::string_view { return e.name; });
  return at != entries_.end() && at->name == name ? &*at : nullptr;
}

std::uint64_t element_count(const TensorEntry& entry) {
  return entry.bytes / *dtype_bytes(entry.dtype);
}

}  // namespace sheaf::model
