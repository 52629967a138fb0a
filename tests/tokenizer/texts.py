"""Generated texts that try a tokenizer: every script, marks, broken UTF-8, prose, code, emoji. Seeded."""

import random

PROSE = {
    "en": "The harbour was quiet that morning; only two boats, neither of them ours, had come in overnight. "
    "\"Don't wait,\" she'd said, \"it isn't worth the trouble.\" In 1997 the price rose by 3.5% to $1,200.",
    "de": "Über den Dächern lag noch Nebel, als die Straßenbahn quietschend um die Ecke bog. "
    "»Größer geht's nicht«, meinte der Prüfer für Überschallwindkanäle im Maßstabsbüro.",
    "fr": "À l'époque, les élèves déjeunaient sous le préau ; aujourd'hui ç'est différent. "
    "L'œuvre naïve où Noël façonna ses « garçons » coûta près de 12 000 €.",
    "es": "¿Quién se llevó mi paraguas? El niño pequeño corrió detrás del pingüino… "
    "¡Qué vergüenza!, exclamó la señora Núñez mientras añadía azúcar.",
    "tr": "İstanbul'da ılık bir İLKBAHAR sabahıydı; IĞDIR'dan gelen öğrenciler çay içiyordu. Şüphesiz güzeldi.",
    "vi": "Buổi sáng hôm ấy trời đẹp, những người bán hàng đã dậy sớm để chuẩn bị bữa phở nóng ở Việt Nam.",
    "pl": "Zażółć gęślą jaźń, pomyślał źle wyspany żółw i poszedł do łóżka około północy.",
    "ru": "Ещё не рассвело, а Йозеф уже чинил велосипед. «Поедем к морю?» — спросил он. Объём: 15 кг.",
    "el": "Το πρωί ο Οδυσσέας ξύπνησε νωρίς. Ἀρχὴ ἥμισυ παντός· ΤΕΛΟΣ. Πόσο κοστίζει αυτό;",
    "ar": "كانَ الطّقسُ جميلاً في ذلكَ الصّباح، فخرجَ الأطفالُ إلى الحديقة. السعر: ١٢٣ ريالاً؟",
    "he": "בְּרֵאשִׁית הָיָה שֶׁקֶט בָּעִיר, וְהַחֲתוּלִים יָשְׁנוּ. מחיר: 45 ש״ח.",
    "hi": "सुबह की ठंडी हवा में बच्चे स्कूल जा रहे थे। क़लम और काग़ज़ कहाँ हैं? कुल ४५ रुपये।",
    "bn": "সকালে নদীর ধারে কুয়াশা ছিল। ড়, ঢ় ও য় অক্ষরগুলি লেখো।",
    "th": "เช้าวันนั้นอากาศดีมาก เด็ก ๆ เดินไปโรงเรียนด้วยกัน ราคา ๕๐ บาท",
    "zh": "清晨的港口很安静，只有两条船。“别等了，”她说，“不值得。”价格上涨了3.5%。豈更車賈滑",
    "ja": "朝の港は静かだった。ｶﾀｶﾅとひらがな、パピプペポ、ガギグゲゴ。「待たないで」と彼女は言った。",
    "ko": "아침 항구는 조용했다. 두 척의 배만 밤새 들어와 있었다. 각 낱말을 살펴보자!",
    "my": "မနက်ခင်းမှာ ဆိပ်ကမ်းက တိတ်ဆိတ်နေတယ်။",
    "am": "ጠዋት ላይ ወደቡ ጸጥ ያለ ነበር። ሁለት ጀልባዎች ብቻ ነበሩ፤",
}

CODE = [
    'for (std::size_t i = 0; i < words.size(); ++i) { out << words[i] << "\\n"; }\n',
    "def encode(self, text: str) -> list[int]:\n\treturn [self.vocab.get(t, 0) for t in text.split()]\n",
    "SELECT id, COUNT(*) FROM items WHERE price >= 9.99 AND name LIKE '%café%' GROUP BY id;\r\n",
    '{"key": [1, -2.5e10, null, true], "naïve": "\\u00e9\\\\"}',
    "https://example.org/a_b-c?q=1&r=%20#frag user@example.org /usr/lib/x86_64-linux-gnu/libm.so.6",
    "#include <vector> // TODO(me): x86 && !ARM || (y ^ ~z) @@ $HOME `pwd` ~/.bashrc",
    "fn main() -> Result<(), Box<dyn Error>> { let π = 3.14_f64; println!(\"{π:?}\"); Ok(()) }",
]

EMOJI = ["😀", "👩‍💻", "👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪", "🇫🇷", "1️⃣", "❤️", "☺", "🧑🏿‍🚀", "🫠", "🪿", "\U0001faf7", "🏴\U000e0067\U000e0062\U000e007f"]

# First and last code point of blocks, so that every script gets its share.
BLOCKS = [
    (0x20, 0x7E), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x2AF), (0x2B0, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF),
    (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x700, 0x7BF), (0x7C0, 0x8FF),
    (0x900, 0x97F), (0x980, 0x9FF), (0xA00, 0xAFF), (0xB00, 0xBFF), (0xC00, 0xCFF), (0xD00, 0xDFF),
    (0xE00, 0xEFF), (0xF00, 0xFFF), (0x1000, 0x109F), (0x10A0, 0x10FF), (0x1100, 0x11FF), (0x1200, 0x139F),
    (0x13A0, 0x13FF), (0x1400, 0x167F), (0x1680, 0x17FF), (0x1800, 0x18FF), (0x1900, 0x1AFF), (0x1B00, 0x1CFF),
    (0x1D00, 0x1DFF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20FF), (0x2100, 0x21FF),
    (0x2200, 0x23FF), (0x2400, 0x27BF), (0x27C0, 0x2BFF), (0x2C00, 0x2DFF), (0x2E00, 0x2E7F), (0x2E80, 0x2FFF),
    (0x3000, 0x303F), (0x3040, 0x30FF), (0x3100, 0x33FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xA000, 0xA6FF),
    (0xA700, 0xA7FF), (0xA800, 0xABFF), (0xAC00, 0xD7FF), (0xE000, 0xF8FF), (0xF900, 0xFAFF), (0xFB00, 0xFDFF),
    (0xFE00, 0xFEFF), (0xFF00, 0xFFFF), (0x10000, 0x104FF), (0x10500, 0x10FFF), (0x11000, 0x11FFF),
    (0x12000, 0x16FFF), (0x17000, 0x1AFFF), (0x1B000, 0x1CFFF), (0x1D000, 0x1D3FF), (0x1D400, 0x1DFFF),
    (0x1E000, 0x1EFFF), (0x1F000, 0x1FFFF), (0x20000, 0x2A6DF), (0x2A6E0, 0x2FFFF), (0x30000, 0x3FFFF),
    (0xE0000, 0xE0FFF), (0xF0000, 0x10FFFF),
]

MARKS = [chr(c) for a, b in [(0x300, 0x36F), (0x591, 0x5C7), (0x64B, 0x65F), (0x93C, 0x94D), (0x302A, 0x302F),
                             (0x3099, 0x309A), (0xE31, 0xE3A), (0x1DC0, 0x1DFF), (0x1D165, 0x1D172),
                             (0x1AB0, 0x1ACE), (0x16FF0, 0x16FF1), (0x302E, 0x302F), (0x1E8D0, 0x1E8D6),
                             (0xF71, 0xF84), (0x10D24, 0x10D27), (0x1E000, 0x1E02A)]
         for c in range(a, b + 1)]
DECOMPOSED = "éÅṩǖ각ΐऱక़ญำⓐ\u0344\u0F73\u0F81\U0001D15E\U0001D1BB\u1E9B\u0323\uFB2C\u0958\u2ADC"


def character(rng):
    while True:
        c = rng.randint(*rng.choice(BLOCKS))
        if not 0xD800 <= c <= 0xDFFF:
            return chr(c)


def one_script(rng):
    block = rng.choice(BLOCKS)
    word = lambda: "".join(chr(rng.randint(*block)) for _ in range(rng.randint(1, 9)))
    text = " ".join(word() for _ in range(rng.randint(1, 8)))
    return "".join(c for c in text if not 0xD800 <= ord(c) <= 0xDFFF)


def mixed_scripts(rng):
    return "".join(character(rng) if rng.random() < 0.7 else rng.choice("aZ 9.") for _ in range(rng.randint(1, 40)))


def any_code_points(rng):
    codes = (rng.randrange(0x110000) for _ in range(rng.randint(1, 20)))
    return "".join(rng.choice(["", "a", " "]) + chr(c) for c in codes if not 0xD800 <= c <= 0xDFFF)


def marks(rng):
    parts = []
    for _ in range(rng.randint(1, 8)):
        parts.append(rng.choice(["a", "E", rng.choice(DECOMPOSED), character(rng), " ", "\u034F", "\u200D", ""]))
        parts += [rng.choice(MARKS) for _ in range(rng.randint(0, 5))]
    return "".join(parts)


def prose(rng):
    text = rng.choice(list(PROSE.values()))
    start = rng.randrange(len(text))
    text = text[start : start + rng.randint(1, 200)]
    return rng.choice([text, text, text, text.upper(), text.lower(), text.swapcase()])


def languages(rng):
    return " ".join(prose(rng) for _ in range(rng.randint(2, 5)))


def code(rng):
    text = "".join(rng.choice(CODE) for _ in range(rng.randint(1, 3)))
    start = rng.randrange(len(text))
    return text[start : start + rng.randint(1, 150)]


def emoji(rng):
    return "".join(rng.choice(EMOJI + ["a", " ", "\uFE0F", "\u200D", "ok"]) for _ in range(rng.randint(1, 15)))


def controls(rng):
    odd = [chr(c) for c in [*range(0x20), *range(0x7F, 0xA1), 0xAD, 0x200B, 0x200E, 0x2028, 0x2029, 0xFEFF, 0xFFFD, 0x3000]]
    return "".join(rng.choice(odd) if rng.random() < 0.5 else rng.choice("ab .,A") for _ in range(rng.randint(1, 30)))


def long_words(rng):
    unit = rng.choice(["a", "ab", "é", "й", "各", "ᄀ", "각", "x" * 7, "un", "q\u0301", character(rng)])
    size = rng.choice([98, 99, 100, 101, 102, 150, 300])
    return rng.choice(["", "so "]) + unit * (size // len(unit)) + rng.choice(["", "a", "ing", "é", "\u0301", "!"])


def special_tokens(rng):
    pieces = ["[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "[cls]", "[", "]", "[CL", "S]", "##", "##ing", "[[MASK]]",
              " ", "  ", "a", "\t", "É", "word", "\u3000", "[unused1]", "[MASK", "ｍask"]
    return "".join(rng.choice(pieces) for _ in range(rng.randint(1, 12)))


def broken_utf8(rng):
    if rng.random() < 0.3:
        return rng.randbytes(rng.randint(1, 24))
    data = bytearray(rng.choice([prose, mixed_scripts, emoji])(rng).encode())
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        at = rng.randrange(len(data))
        action = rng.random()
        if action < 0.35:
            del data[at]
        elif action < 0.7:
            data[at] = rng.choice([0x80, 0xBF, 0xC0, 0xC1, 0xC2, 0xE0, 0xED, 0xEF, 0xF0, 0xF4, 0xF5, 0xFF, rng.randrange(256)])
        else:
            tails = [b"\xed\xa0\x80", b"\xf0\x80\x80", b"\xf4\x90\x80\x80", b"\xe0\x9f", b"\xf0\x9f\x98", b"\xc3", b"\xe2\x82"]
            data[at:at] = rng.choice(tails)
    return bytes(data[: rng.randint(1, len(data))]) if data else b"\x80"


KINDS = [one_script, mixed_scripts, any_code_points, marks, prose, languages, code, emoji, controls, long_words,
         special_tokens, broken_utf8]


def generate(seed, count, words=()):
    """Yields `count` texts as bytes. `words` (pieces of a vocabulary) are strewn in, glued and with spaces."""
    rng = random.Random(seed)
    yield b""
    for _ in range(count - 1):
        if words and rng.random() < 0.12:
            text = "".join(rng.choice(["", "", " ", "-"]) + rng.choice(words) for _ in range(rng.randint(1, 15)))
        else:
            text = rng.choice(KINDS)(rng)
        yield text if isinstance(text, bytes) else text.encode()


def every_code_point(step=1):
    """Every code point alone, between letters, and after a letter and a mark."""
    for c in range(0, 0x110000, step):
        if not 0xD800 <= c <= 0xDFFF:
            yield chr(c).encode()
            yield f"a{chr(c)}b".encode()
            yield f"A\u302E{chr(c)}\u0301".encode()
