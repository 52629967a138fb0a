#include "tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fmt/format.h>
#include <pcre2.h>

#include <algorithm>
#include <cctype>
#include <ctime>
#include <optional>

#include "tokenizer/code_point_map.h"

namespace sheaf::tokenizer {
namespace {

using unicode::CodePoint;

constexpr std::size_t kExpressionBytesMax = 20'000;

// What finding all matches in one text may cost. PCRE2 counts the steps of one attempt only, and an
// attempt at each place may read all of the text: hence the limit in time as well. A character that
// is met and given back is a step, so even the expressions of popular models take one or two for
// each character of a long run of spaces.
constexpr std::size_t kSteps = 100'000, kStepsPerByte = 4;
constexpr std::uint32_t kMemoryKibMax = 64 * 1024;
// Fifty times what the expression of OpenAI's o200k takes.
constexpr double kSeconds = 1, kSecondsPerByte = 5e-6;
// So many attempts, each within the limit of steps, are made before the clock is looked at.
constexpr std::size_t kAttempts = 16;

struct Free {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};

// Rewrites an expression from Oniguruma's syntax to PCRE2's, as far as they mean the same.
class Translation {
 public:
  explicit Translation(std::string_view expression) : rest_(expression) {}

  // Nothing if some construct is not known to mean the same; unsupported() says which.
  std::optional<std::string> run() {
    while (!rest_.empty() && unsupported_.empty()) step();
    if (!unsupported_.empty() || in_set_) return std::nullopt;
    return std::move(out_);
  }
  std::string_view unsupported() const { return in_set_ ? "[" : std::string_view(unsupported_); }

 private:
  void refuse(std::size_t size) { unsupported_ = rest_.substr(0, size); }
  void copy(std::size_t size) {
    out_ += rest_.substr(0, size);
    rest_.remove_prefix(size);
  }

  void step() {
    if (rest_[0] == '\\') return escape();
    if (in_set_) return in_set();
    if (rest_[0] == '[') return begin_set();
    if (rest_.starts_with("(?")) return group();
    // {,3} is literal text for PCRE2; {1,3}+ is possessive for it, a repetition for Oniguruma.
    if (rest_.starts_with("{,") || rest_.starts_with("}+")) return refuse(2);
    // {2}? is lazy for PCRE2; for Oniguruma, which knows that nothing is to be chosen, "none or
    // two".
    if (rest_.starts_with("}?") && is_fixed_count()) return refuse(2);
    copy(1);
  }

  // Whether what was copied ends with "{" and digits that are no code point's.
  bool is_fixed_count() const {
    const std::size_t open = out_.rfind('{');
    if (open == std::string::npos || out_.find(',', open) != std::string::npos) return false;
    return open < 2 || out_.compare(open - 2, 2, "\\x") != 0;
  }

  void in_set() {
    // Sets in sets, and their intersection, are Oniguruma's alone.
    if (rest_[0] == '[') return refuse(1);
    if (rest_.starts_with("&&")) return refuse(2);
    in_set_ = rest_[0] != ']';
    copy(1);
  }

  void begin_set() {
    const std::size_t size = rest_.starts_with("[^") ? 2 : 1;
    if (rest_.substr(size).starts_with("]")) return refuse(size + 1);
    copy(size);
    in_set_ = true;
  }

  void group() {
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"}) {
      if (rest_.starts_with(known)) return copy(known.size());
    }
    if (rest_.starts_with("(?i:") && !may_fold_to_several(group_text())) return copy(4);
    refuse(4);
  }

  // From "(?i:" to what closes it, or to the end.
  std::string_view group_text() const {
    int depth = 0;
    for (std::size_t i = 0; i < rest_.size(); ++i) {
      if (rest_[i] == '\\')
        ++i;
      else if (rest_[i] == '(')
        ++depth;
      else if (rest_[i] == ')' && --depth == 0)
        return rest_.substr(0, i);
    }
    return rest_;
  }

  // Oniguruma's "ss" also matches U+00DF and the other way round; PCRE2 folds letter by letter.
  // These are the folds of several letters in Unicode's CaseFolding.txt that are ASCII; of others
  // any is refused.
  static bool may_fold_to_several(std::string_view text) {
    std::string lower(text);
    for (char& c : lower) {
      if (static_cast<unsigned char>(c) >= 0x80) return true;
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    const auto holds = [&](std::string_view pair) { return lower.find(pair) != std::string::npos; };
    return std::ranges::any_of(std::array<std::string_view, 5>{"ss", "ff", "fi", "fl", "st"},
                               holds);
  }

  void escape() {
    if (rest_.size() < 2) return refuse(1);
    const char c = rest_[1];
    if (c == 'p' || c == 'P') return property();
    if (c == 'u') return code_point();
    if (rest_.starts_with("\\x{")) return copy(3);
    const bool punctuation = c > ' ' && c < 0x7F && !std::isalnum(static_cast<unsigned char>(c));
    if (punctuation || std::string_view("sSdDrntf").find(c) != std::string_view::npos)
      return copy(2);
    refuse(2);
  }

  // \p{Lu}: general categories mean the same. Of the scripts only Han was looked at: PCRE2 counts
  // characters that several scripts share to each of them unless told not to.
  void property() {
    const std::size_t end = rest_.find('}');
    if (rest_.size() < 3 || rest_[2] != '{' || end == std::string_view::npos) return refuse(3);
    const std::string_view name = rest_.substr(3, end - 3);
    static constexpr std::string_view kCategories[] = {
        "L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",
        "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
        "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp"};
    if (std::find(std::begin(kCategories), std::end(kCategories), name) != std::end(kCategories))
      return copy(end + 1);
    if (name != "Han") return refuse(end + 1);
    out_ += fmt::format("\\{}{{sc:Han}}", rest_[1]);
    rest_.remove_prefix(end + 1);
  }

  // \u4E00
  void code_point() {
    const std::string_view digits = rest_.substr(2, 4);
    const bool hex = digits.size() == 4 && std::all_of(digits.begin(), digits.end(), [](char d) {
                       return std::isxdigit(static_cast<unsigned char>(d)) != 0;
                     });
    if (!hex) return refuse(6);
    out_ += fmt::format("\\x{{{}}}", digits);
    rest_.remove_prefix(6);
  }

  std::string_view rest_;
  std::string out_;
  bool in_set_ = false;
  std::string unsupported_;
};

// What stands for a code point that Oniguruma knows and PCRE2 may not, being newer than its
// Unicode: an older one of the same category, script Han or not, and length in UTF-8. 0: itself.
const CodePointMap<CodePoint>& older_characters() {
  static const CodePointMap<CodePoint> instance = [] {
    CodePointMap<CodePoint> map(0);
    for (const unicode::CodePointStandIn& s : unicode::stand_in()) map.set(s.first, s.last, s.by);
    map.set(0x180E, 0x200B);  // PCRE2 counts this format character to \s, Unicode no longer does
    return map;
  }();
  return instance;
}

// The text with such characters replaced, in `storage`, or the text itself if it holds none.
std::string_view with_older_characters(std::string_view text, std::string& storage) {
  const CodePointMap<CodePoint>& older = older_characters();
  const char* const end = text.data() + text.size();
  for (const char* p = text.data(); p < end;) {
    const auto at = static_cast<std::size_t>(p - text.data());
    const CodePoint by = older[unicode::decode_utf8(p)];
    if (by == 0) continue;
    if (storage.empty()) storage = text;
    unicode::encode_utf8(by, storage.data() + at);
  }
  return storage.empty() ? text : std::string_view(storage);
}

double thread_seconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Where the next character begins, or one behind the end.
std::size_t behind_character(std::string_view text, std::size_t at) {
  ++at;
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

PCRE2_SPTR pointer(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

std::string message_of(int code) {
  PCRE2_UCHAR buffer[200];
  pcre2_get_error_message(code, buffer, sizeof buffer);
  return reinterpret_cast<const char*>(buffer);
}

using Code = std::unique_ptr<pcre2_code, Free>;

// Null, with the reason in `error`, if it is no expression. As in Oniguruma, ^ and $ hold at every
// line, and lines end with \n alone.
Code compile(std::string_view expression, int& error) {
  const std::unique_ptr<pcre2_compile_context, Free> context(pcre2_compile_context_create(nullptr));
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  PCRE2_SIZE at = 0;
  return Code(pcre2_compile(pointer(expression), expression.size(),
                            PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &at, context.get()));
}

}  // namespace

// Run by PCRE2's interpreter: its JIT needs memory that is writable and executable, and a stack of
// its own that a text can exhaust; the expressions that many models share are a WordScanner anyway.
struct Regex::Compiled {
  Code code;
  std::string name;  // "tokenizer.json: PATH: EXPRESSION"
};

// The matches of one text, one after the other.
class Regex::Search {
 public:
  Search(const Compiled& compiled, std::string_view text)
      : compiled_(compiled),
        text_(text),
        context_(pcre2_match_context_create(nullptr)),
        data_(pcre2_match_data_create(1, nullptr)) {
    const std::size_t steps = std::min<std::size_t>(kSteps + kStepsPerByte * text.size(), 1 << 30);
    pcre2_set_match_limit(context_.get(), static_cast<std::uint32_t>(steps));
    pcre2_set_heap_limit(context_.get(), kMemoryKibMax);
    pcre2_set_callout(
        context_.get(),
        [](pcre2_callout_block*, void* search) { return static_cast<Search*>(search)->attempt(); },
        this);
  }

  // The first match at or behind `from`, which is where a character begins or the end.
  Result<std::optional<Piece>> next(std::size_t from) {
    const int count = pcre2_match(compiled_.code.get(), pointer(text_), text_.size(), from,
                                  PCRE2_NO_UTF_CHECK, data_.get(), context_.get());
    if (count == PCRE2_ERROR_NOMATCH) return std::optional<Piece>();
    if (count < 0) return failure(count);
    const PCRE2_SIZE* const found = pcre2_get_ovector_pointer(data_.get());
    return std::optional<Piece>({found[0], found[1]});
  }

 private:
  // Called at the beginning of each attempt; not 0 ends the search.
  int attempt() {
    if (++attempts_ % kAttempts != 0 || thread_seconds() - start_ <= seconds_max()) return 0;
    return PCRE2_ERROR_CALLOUT;
  }
  double seconds_max() const {
    return kSeconds + kSecondsPerByte * static_cast<double>(text_.size());
  }
  Error failure(int code) const {
    return {ErrorCode::invalid_argument,
            fmt::format("{} fails on a text of {} bytes: {}", compiled_.name, text_.size(),
                        code == PCRE2_ERROR_CALLOUT
                            ? fmt::format("it takes longer than {:.1f} s", seconds_max())
                            : message_of(code))};
  }

  const Compiled& compiled_;
  const std::string_view text_;
  const std::unique_ptr<pcre2_match_context, Free> context_;
  const std::unique_ptr<pcre2_match_data, Free> data_;
  const double start_ = thread_seconds();
  std::size_t attempts_ = 0;
};

Result<Regex> Regex::parse(const JsonField& field) {
  SHEAF_ASSIGN(const std::string_view expression, field.string());
  if (expression.size() > kExpressionBytesMax)
    return field.error(fmt::format("has more than {} bytes", kExpressionBytesMax));
  Translation translation(expression);
  const std::optional<std::string> translated = translation.run();
  if (!translated) {
    return Error{
        ErrorCode::unsupported,
        field
            .error(fmt::format("{} in {} is not supported", in_quotes(translation.unsupported()),
                               in_quotes(expression)))
            .message};
  }
  int code = 0;
  // On its own first: ")a|b(" would be an expression between the parentheses below.
  if (!compile(*translated, code)) {
    return field.error(
        fmt::format("{} is no regular expression: {}", in_quotes(expression), message_of(code)));
  }
  auto compiled = std::make_shared<Compiled>();
  compiled->code = compile(fmt::format("(?C1)(?:{})", *translated), code);  // Search::attempt
  if (!compiled->code) return field.error(fmt::format("is too large: {}", message_of(code)));
  compiled->name = field.error(in_quotes(expression)).message;
  Regex result;
  result.compiled_ = std::move(compiled);
  return result;
}

Status Regex::find_all(std::string_view text, std::vector<Piece>& matches) const {
  std::string storage;
  text = with_older_characters(text, storage);
  Search search(*compiled_, text);
  std::size_t from = 0;
  std::optional<std::size_t> last_end;
  while (from <= text.size()) {
    SHEAF_ASSIGN(const std::optional<Piece> match, search.next(from));
    if (!match) break;
    if (match->end == match->begin && last_end == match->end) {
      // An empty match right behind another does not count: look on behind the next character.
      from = behind_character(text, from);
      continue;
    }
    matches.push_back(*match);
    from = match->end;
    last_end = match->end;
  }
  return {};
}

}  // namespace sheaf::tokenizer
