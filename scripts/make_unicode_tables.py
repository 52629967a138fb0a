#!/usr/bin/env python3
"""Writes src/tokenizer/unicode_tables.cc by asking Hugging Face's `tokenizers` about every code point.

The Rust crates behind that library freeze different Unicode versions (normalization and categories are old,
lower case and white space are new), so no single Unicode version gives its ids. Asking the library itself
does. Usage: make_unicode_tables.py [OUTPUT], with a Python that has the `tokenizers` wheel.
"""

import pathlib
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

SURROGATES = range(0xD800, 0xE000)
CODE_POINTS = [c for c in range(0x110000) if c not in SURROGATES]


def bert_normalizer(**on):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**(flags | on)).normalize_str


def characters_removed_by_cleaning():
    clean = bert_normalizer(clean_text=True)
    return [c for c in CODE_POINTS if clean(chr(c)) == ""]


def characters_seen_as_chinese():
    spaced = bert_normalizer(handle_chinese_chars=True)
    return [c for c in CODE_POINTS if len(spaced(chr(c))) == 3]


def white_space():
    split = pre_tokenizers.WhitespaceSplit().pre_tokenize_str
    return [c for c in CODE_POINTS if len(split(f"a{chr(c)}b")) == 2]


def punctuation():
    split = pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    return [c for c in CODE_POINTS if len(split(f"a{chr(c)}b")) == 3]


def word_characters():
    """Those before which a `single_word` added token does not match."""
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.add_tokens([AddedToken("Q", single_word=True, normalized=False)])
    found = []
    for start in range(0, len(CODE_POINTS), 50_000):
        part = [c for c in CODE_POINTS[start : start + 50_000] if chr(c) != "Q"]
        encodings = tokenizer.encode_batch_fast([chr(c) + "Q" for c in part])
        found += [c for c, e in zip(part, encodings) if e.ids[-1] == 0]
    return sorted(found + [ord("Q")])


def nonspacing_marks():
    """Characters that strip_accents removes. NFD comes first, so only those that are their own NFD count."""
    nfd, strip = normalizers.NFD().normalize_str, bert_normalizer(strip_accents=True)
    return [c for c in CODE_POINTS if nfd(chr(c)) == chr(c) and strip(chr(c)) == ""]


def is_hangul_syllable(c):
    return 0xAC00 <= c <= 0xD7A3  # decomposed by arithmetic


def decompositions():
    nfd = normalizers.NFD().normalize_str
    return {c: nfd(chr(c)) for c in CODE_POINTS if nfd(chr(c)) != chr(c) and not is_hangul_syllable(c)}


def lower_case():
    lower = normalizers.Lowercase().normalize_str
    return {c: lower(chr(c)) for c in CODE_POINTS if lower(chr(c)) != chr(c)}


def combining_classes():
    """Canonical combining classes, found by watching how NFD orders a character against known ones."""
    nfd = normalizers.NFD().normalize_str
    swaps = lambda first, second: first != second and nfd(first + second) == second + first
    known = {}  # class -> an old character of that class; classes never change once given
    for c in CODE_POINTS:
        ccc = unicodedata.combining(chr(c))
        if ccc and ccc not in known and nfd(chr(c)) == chr(c) and (swaps("\u0345", chr(c)) or ccc == 240):
            known[ccc] = chr(c)
    lowest, highest = known[min(known)], known[max(known)]
    found = {}
    for c in CODE_POINTS:
        char = chr(c)
        if nfd(char) != char or not (swaps(highest, char) or swaps(char, lowest)):
            continue
        same = [ccc for ccc, other in known.items() if not swaps(char, other) and not swaps(other, char)]
        assert len(same) == 1, hex(c)
        found[c] = same[0]
    for ccc, char in known.items():  # `lowest` and characters of its class swap with `highest` only
        assert found[ord(char)] == ccc, (ccc, char)
    return found


def matched_by(expression):
    """The characters that a regular expression of a Split pre-tokenizer matches."""
    split = pre_tokenizers.Split(Regex(expression), "removed", invert=True).pre_tokenize_str
    found = []
    for start in range(0, len(CODE_POINTS), 20_000):
        part = CODE_POINTS[start : start + 20_000]
        for _, (first, end) in split("".join(map(chr, part))):
            found += part[first:end]
    return found


def numeric():
    split = pre_tokenizers.Digits(individual_digits=True).pre_tokenize_str
    return [c for c in CODE_POINTS if len(split(f"a{chr(c)}b")) == 3]


def combining_marks():
    """Characters that the normalizer StripAccents removes."""
    strip = normalizers.StripAccents().normalize_str
    return [c for c in CODE_POINTS if strip(f"a{chr(c)}") == "a"]


def check_white_space(code_points):
    """Regular expressions and Whitespace know the same white space as Rust does."""
    assert matched_by(r"\s") == code_points
    split = pre_tokenizers.Whitespace().pre_tokenize_str
    assert [c for c in CODE_POINTS if len(split(chr(c))) == 0] == code_points


def compositions():
    """Pairs that NFC composes, but for Hangul: (first, second) -> composed."""
    nfd, nfc = normalizers.NFD().normalize_str, normalizers.NFC().normalize_str
    found = {}
    for c in CODE_POINTS:
        parts = nfd(chr(c))
        if is_hangul_syllable(c) or len(parts) == 1 or nfc(chr(c)) != chr(c):
            continue
        first, second = nfc(parts[:-1]), parts[-1]
        assert len(first) == 1 and nfc(first + second) == chr(c), hex(c)
        found[ord(first), ord(second)] = c
    return found


def compatibility_decompositions():
    """Full compatibility decompositions where they are not the canonical ones."""
    nfd, nfkd = normalizers.NFD().normalize_str, normalizers.NFKD().normalize_str
    return {c: nfkd(chr(c)) for c in CODE_POINTS if nfkd(chr(c)) != nfd(chr(c))}


CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf".split()


def stand_ins():
    """For each character newer than this Python's Unicode (14, as old as PCRE2's) one of the same category, script
    Han or not, and size in UTF-8: (first, last) -> that one. Private and unassigned characters are alike anywhere."""
    han = set(matched_by(r"\p{Han}"))
    category = {c: name for name in CATEGORIES for c in matched_by(rf"\p{{{name}}}")}
    key = lambda c: (category[c], c in han, len(chr(c).encode()))
    old, found = {}, {}
    for c in category:
        if unicodedata.category(chr(c)) == category[c]:
            old.setdefault(key(c), c)
    for c in sorted(category):
        if unicodedata.category(chr(c)) != category[c] and c != old[key(c)]:
            found[c] = old[key(c)]
    assert unicodedata.unidata_version.startswith("14."), "run by the Python of Debian 12"
    return found


def ranges(code_points):
    result = []
    for c in code_points:
        if result and result[-1][1] + 1 == c:
            result[-1][1] = c
        else:
            result.append([c, c])
    return result


def wrapped(items, width=100):
    line = ""
    for item in items:
        if len(line) + len(item) > width:
            yield line
            line = ""
        line += item
    yield line


def range_table(name, code_points):
    rows = wrapped(f"{{0x{a:X},0x{b:X}}}," for a, b in ranges(code_points))
    return f"constexpr CodePointRange {name}[] = {{\n" + "\n".join(rows) + "\n};\n"


def class_table(name, classes):
    rows = []
    for c, ccc in sorted(classes.items()):
        if rows and rows[-1][1] + 1 == c and rows[-1][2] == ccc:
            rows[-1][1] = c
        else:
            rows.append([c, c, ccc])
    rows = wrapped(f"{{0x{a:X},0x{b:X},{ccc}}}," for a, b, ccc in rows)
    return f"constexpr CombiningClassRange {name}[] = {{\n" + "\n".join(rows) + "\n};\n"


def stand_in_table(name, stand_ins):
    rows = []
    for c, by in stand_ins.items():
        if rows and rows[-1][1] + 1 == c and rows[-1][2] == by:
            rows[-1][1] = c
        else:
            rows.append([c, c, by])
    rows = wrapped(f"{{0x{a:X},0x{b:X},0x{by:X}}}," for a, b, by in rows)
    return f"constexpr CodePointStandIn {name}[] = {{\n" + "\n".join(rows) + "\n};\n"


def composition_table(name, compositions):
    rows = wrapped(f"{{0x{a:X},0x{b:X},0x{c:X}}}," for (a, b), c in sorted(compositions.items()))
    return f"constexpr Composition {name}[] = {{\n" + "\n".join(rows) + "\n};\n"


def long_mapping_tables(name, mapping):
    """Mappings of any length: the code points one after the other, and where those of each begin."""
    pool, rows = [], []
    for c, text in sorted(mapping.items()):
        rows.append(f"{{0x{c:X},{len(pool)},{len(text)}}},")
        pool += [f"0x{ord(t):X}," for t in text]
    return (
        f"constexpr std::uint32_t {name}Text[] = {{\n" + "\n".join(wrapped(pool)) + "\n};\n\n"
        f"constexpr LongMapping {name}[] = {{\n" + "\n".join(wrapped(rows)) + "\n};\n"
    )


def mapping_table(name, mapping):
    rows = []
    for c, text in sorted(mapping.items()):
        assert 1 <= len(text) <= 4, hex(c)
        rows.append(f"{{0x{c:X},{{" + ",".join(f"0x{ord(t):X}" for t in text) + "}},")
    return f"constexpr CodePointMapping {name}[] = {{\n" + "\n".join(wrapped(rows)) + "\n};\n"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    output = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else root / "src/tokenizer/unicode_tables.cc"
    removed = characters_removed_by_cleaning()
    spaces = white_space()
    check_white_space(spaces)
    tables = [
        range_table("kOther", removed),
        range_table("kWhiteSpace", spaces),
        range_table("kPunctuation", punctuation()),
        range_table("kNonspacingMark", nonspacing_marks()),
        range_table("kWord", word_characters()),
        range_table("kChinese", characters_seen_as_chinese()),
        class_table("kCombiningClass", combining_classes()),
        mapping_table("kDecomposition", decompositions()),
        mapping_table("kLowerCase", lower_case()),
        range_table("kLetter", matched_by(r"\p{L}")),
        range_table("kNumber", matched_by(r"\p{N}")),
        range_table("kNumeric", numeric()),
        range_table("kCombiningMark", combining_marks()),
        composition_table("kComposition", compositions()),
        long_mapping_tables("kCompatibility", compatibility_decompositions()),
        stand_in_table("kStandIn", stand_ins()),
    ]
    accessors = [
        ("CodePointRange", "other", "kOther"),
        ("CodePointRange", "white_space", "kWhiteSpace"),
        ("CodePointRange", "punctuation", "kPunctuation"),
        ("CodePointRange", "nonspacing_mark", "kNonspacingMark"),
        ("CodePointRange", "word", "kWord"),
        ("CodePointRange", "chinese", "kChinese"),
        ("CombiningClassRange", "combining_class", "kCombiningClass"),
        ("CodePointMapping", "decomposition", "kDecomposition"),
        ("CodePointMapping", "lower_case", "kLowerCase"),
        ("CodePointRange", "letter", "kLetter"),
        ("CodePointRange", "number", "kNumber"),
        ("CodePointRange", "numeric", "kNumeric"),
        ("CodePointRange", "combining_mark", "kCombiningMark"),
        ("Composition", "composition", "kComposition"),
        ("LongMapping", "compatibility", "kCompatibility"),
        ("std::uint32_t", "compatibility_text", "kCompatibilityText"),
        ("CodePointStandIn", "stand_in", "kStandIn"),
    ]
    functions = "\n".join(f"std::span<const {t}> {f}() {{ return {k}; }}" for t, f, k in accessors)
    output.write_text(
        f"// Generated by scripts/make_unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.\n"
        '// clang-format off\n#include "tokenizer/unicode_tables.h"\n\n'
        "namespace sheaf::tokenizer::unicode {\nnamespace {\n\n" + "\n".join(tables) + "\n}  // namespace\n\n"
        + functions + "\n\n}  // namespace sheaf::tokenizer::unicode\n"
    )


if __name__ == "__main__":
    main()
