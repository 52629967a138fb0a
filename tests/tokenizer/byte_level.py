"""Small tokenizers with the pipelines of well-known models of byte-level BPE, and of SentencePiece-like BPE with byte
fallback, trained on generated text.

Usage: byte_level.py FOLDER [KIND]...   writes KIND.json; for trying things by hand.
"""

import functools
import json
import pathlib
import random
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import texts

GPT2_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
CL100K_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_WORDS, QWEN2_WORDS = CL100K_WORDS % "{1,3}", CL100K_WORDS % ""

# Frequent letters of a Latin, a Han and a Cyrillic script, for words that repeat as in real text.
ENGLISH = "eeeettttaaaoooiiinnnsshhrrdlluucmfywgpbvk"
CHINESE = "的一是不了在人有我他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么心多天而能好都然没日于起还发成事只作当想看文无开手十用主行方又如前所本见经头面公同三已老从动两长"
RUSSIAN = "оооееааиинтссрвлкмдпуя"


def word_list(rng, letters, count, sizes):
    return ["".join(rng.choice(letters) for _ in range(rng.choice(sizes))) for _ in range(count)]


def natural_text(seed, count, chinese_share=0.3):
    """Lines in which words come as often as in real text (the nth one in proportion to 1/n)."""
    rng = random.Random(seed)
    vocabularies = [
        (word_list(random.Random(1), ENGLISH, 20_000, [1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 10]), " "),
        (word_list(random.Random(2), CHINESE, 8_000, [1, 1, 2, 2, 2, 3, 4]), ""),
        (word_list(random.Random(3), RUSSIAN, 5_000, [1, 3, 4, 5, 6, 8]), " "),
    ]
    shares = [0.9 - chinese_share, chinese_share, 0.1]
    for _ in range(count):
        words, space = rng.choices(vocabularies, shares)[0]
        line = []
        for _ in range(rng.randint(8, 60)):
            word = words[int(len(words) ** rng.random()) - 1]
            if rng.random() < 0.08 and space:
                word = word.capitalize()
            end = rng.choices(["", ", ", ". ", "'s "], [88, 6, 5, 1])[0] if space else rng.choices(["", "，", "。"], [90, 6, 4])[0]
            line.append(word + (end or space))
        if rng.random() < 0.3:
            line.insert(rng.randrange(len(line)), f" {rng.randint(0, 10 ** rng.randint(1, 6))} ")
        yield "".join(line)


@functools.cache
def training_text():
    generated = [t.decode("utf-8", "replace") for t in texts.generate(7, 4000)]
    return generated + texts.CODE * 20 + list(texts.PROSE.values()) * 20 + list(natural_text(7, 6000))


@functools.cache
def trained(words, vocab_size=6000):
    """Vocabulary and merges of byte-level BPE over words cut by `words`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split(words, raw=False), byte_level(raw=False)])
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(training_text(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def split(words, raw=True):
    from tokenizers import Regex

    if not raw:
        return pre_tokenizers.Split(Regex(words), "isolated")
    return {"type": "Split", "pattern": {"Regex": words}, "behavior": "Isolated", "invert": False}


def byte_level(prefix=False, regex=False, trim=False, raw=True):
    if not raw:
        return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex, trim_offsets=trim)
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": trim, "use_regex": regex}


def added(vocabulary, first_id, *tokens):
    """added_tokens; each is (content, flags that are true)."""
    result = []
    for content, *flags in tokens:
        names = ("special", "single_word", "lstrip", "rstrip", "normalized")
        id_ = vocabulary.get(content, first_id + sum(a["id"] >= first_id for a in result))
        result.append({"id": id_, "content": content} | {name: name in flags for name in names})
    return result


def template(before=(), after=()):
    special = lambda t: {"SpecialToken": {"id": t[0], "type_id": 0}}
    a, b = ({"Sequence": {"id": s, "type_id": 0}} for s in "AB")
    single = [*map(special, before), a, *map(special, after)]
    return {
        "type": "TemplateProcessing", "single": single, "pair": single + [b],
        "special_tokens": {t: {"id": t, "ids": [i], "tokens": [t]} for t, i in (*before, *after)},
    }


def tokenizer(words, added_tokens, vocabulary=None, vocab_size=6000, **parts):
    own, merges = trained(words, vocab_size)
    model = {
        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
        "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocabulary or own, "merges": merges,
    }
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens, "normalizer": None,
        "pre_tokenizer": byte_level(regex=True), "post_processor": byte_level(trim=True),
        "decoder": byte_level(prefix=True, regex=True, trim=True), "model": model,
    } | parts


def gpt2():
    vocabulary, merges = trained(GPT2_WORDS)
    result = tokenizer(GPT2_WORDS, added(vocabulary, len(vocabulary), ("<|endoftext|>", "special", "normalized")))
    # As in the oldest files: merges as text, behind a line that is none.
    result["model"] |= {"merges": ["#version: 0.2"] + [" ".join(m) for m in merges], "continuing_subword_prefix": "", "end_of_word_suffix": ""}
    result["pre_tokenizer"].pop("use_regex")
    return result


def roberta(vocab_size=6000):
    vocabulary = {t: i + 5 for t, i in trained(GPT2_WORDS, vocab_size)[0].items()} | {t: i for i, t in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])}
    special = [(t, "special", "normalized") for t in ("<s>", "<pad>", "</s>", "<unk>")] + [("<mask>", "special", "lstrip")]
    return tokenizer(
        GPT2_WORDS, added(vocabulary, 9999, *special), vocabulary, vocab_size, pre_tokenizer=byte_level(prefix=True, regex=True, trim=True),
        post_processor={"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True},
    )


def qwen3(vocab_size=6000):
    first = vocab_size
    tokens = [(t, "special") for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")] + [("<think>",), ("</think>",)]
    return tokenizer(
        QWEN2_WORDS, added({}, first, *tokens), vocab_size=vocab_size, normalizer={"type": "NFC"},
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split(QWEN2_WORDS), byte_level()]},
        post_processor={"type": "Sequence", "processors": [byte_level(), template(after=[("<|endoftext|>", first)])]},
        decoder=byte_level(),
    )


def llama3():
    # The last ones no merge makes: only ignore_merges finds them.
    words = [*trained(LLAMA3_WORDS)[0], "Ġtokenization", "Ġè", "harbour", "Ġ12", "ĊĊĊ"]
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(words))}
    first = len(vocabulary)
    tokens = [(t, "special") for t in ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")]
    result = tokenizer(
        LLAMA3_WORDS, added({}, first, *tokens), vocabulary,
        pre_tokenizer={"type": "Sequence", "pretokenizers": [split(LLAMA3_WORDS), byte_level()]},
        post_processor={"type": "Sequence", "processors": [byte_level(prefix=True, regex=True), template(before=[("<|begin_of_text|>", first)])]},
        decoder=byte_level(prefix=True, regex=True, trim=True),
    )
    result["model"]["ignore_merges"] = True
    return result


def modernbert():
    vocabulary = trained(GPT2_WORDS)[0]
    first = len(vocabulary)
    spaces = [(" " * n, "normalized") for n in range(24, 1, -1)]
    special = [("[UNK]", "special"), ("[CLS]", "special"), ("[SEP]", "special"), ("[PAD]", "special"), ("[MASK]", "special", "lstrip")]
    tokens = [("|||IP_ADDRESS|||", "normalized"), ("<|padding|>", "special"), *spaces, *special]
    ids = {a["content"]: a["id"] for a in added({}, first, *tokens)}
    return tokenizer(
        GPT2_WORDS, added({}, first, *tokens), normalizer={"type": "NFC"}, decoder=byte_level(prefix=True, regex=True, trim=True),
        post_processor=template([("[CLS]", ids["[CLS]"])], [("[SEP]", ids["[SEP]"])]),
    )


def starcoder():
    """Digits one by one, then GPT-2's words; a Sequence that trims behind the special tokens."""
    first = len(trained(GPT2_WORDS)[0])
    return tokenizer(
        GPT2_WORDS, added({}, first, ("<|endoftext|>", "special"), ("<fim>", "lstrip", "rstrip")),
        pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level(prefix=True, regex=True)]},
        post_processor={"type": "Sequence", "processors": [template(before=[("<|endoftext|>", first)]), byte_level(prefix=True, trim=True)]},
    )


def deepseek():
    """Words cut by three expressions, one of which PCRE2 has to do."""
    first = len(trained(GPT2_WORDS)[0])
    wide = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    parts = [split(r"\p{N}{1,3}"), split(r"[一-龥\u3040-ゟ゠-ヿ]+"), split(wide), byte_level()]
    return tokenizer(GPT2_WORDS, added({}, first, ("<｜end▁of▁sentence｜>", "special")), pre_tokenizer={"type": "Sequence", "pretokenizers": parts})


@functools.cache
def trained_characters(vocab_size=6000):
    """Vocabulary and merges of BPE over characters, words beginning with a mark for the space before them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, show_progress=False, limit_alphabet=1000)
    tokenizer.train_from_iterator(training_text(), trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], model["merges"]


def sentence_piece(special, normalizer, pre_tokenizer, vocab_size, decoders, after=(), **options):
    """As transformers converts tokenizer.model: special tokens first, then the bytes, then the rest."""
    own, merges = trained_characters(vocab_size)
    names = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*names, *own]))}
    bos = special.index("<bos>" if "<bos>" in special else "<s>")
    result = tokenizer(
        GPT2_WORDS, added(vocabulary, 0, *((token, "special") for token in special)), vocabulary,
        normalizer=normalizer, pre_tokenizer=pre_tokenizer,
        post_processor=template([(special[bos], bos)], [(token, special.index(token)) for token in after]),
        decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
                                                  {"type": "ByteFallback"}, {"type": "Fuse"}, *decoders]})
    result["model"] |= {"merges": merges, "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, **options}
    return result


MARK_SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}


def gemma(vocab_size=6000):
    """Spaces are marks, and what would cut at spaces finds none: a text is one piece."""
    spaces = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    return sentence_piece(["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<start_of_turn>"], MARK_SPACES, spaces,
                          vocab_size, [], after=["<eos>"])


def mistral(vocab_size=6000):
    """A mark before the text, and no pre-tokenizer at all."""
    prepended = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, MARK_SPACES]}
    return sentence_piece(["<unk>", "<s>", "</s>"], prepended, None, vocab_size,
                          [{"type": "Strip", "content": " ", "start": 1, "stop": 0}])


KINDS = {f.__name__: f for f in (gpt2, roberta, qwen3, llama3, modernbert, starcoder, deepseek, gemma, mistral)}


def main():
    for kind in sys.argv[2:] or KINDS:
        (pathlib.Path(sys.argv[1]) / f"{kind}.json").write_text(json.dumps(KINDS[kind]()))


if __name__ == "__main__":
    main()
