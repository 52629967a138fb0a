"""Makes tiny random rerankers with tokenizers, and what transformers and sentence-transformers answer for pairs.

    python make.py [NAME...]      (needs torch, transformers, sentence-transformers)

Writes NAME/ (a model folder as the hub has them) and NAME/scores.json (a pair's score, after the sigmoid), of logit_score
instructed.json too (the same with a client's instruction). The tokenizer of deberta is too large to be stored here: test_rerank.py makes it from tests/tokenizer/unigram_variants.py.
"""

import json
import pathlib
import random
import sys

import torch
import transformers
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "tokenizer")]

import byte_level  # noqa: E402
import texts  # noqa: E402
import unigram_variants  # noqa: E402

LENGTH, QWEN_LENGTH = 48, 260
BERT_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}

# As Qwen's model card has them.
PREFIX = ('<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct '
          'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n')
MIDDLE = "<Instruct>: {}\n<Query>: {}\n<Document>: {}"
SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
TASK = "Given a web search query, retrieve relevant passages that answer the query"
INSTRUCTION = "Find what contradicts the text"
ROLE = '(messages | selectattr("role", "eq", "%s") | map(attribute="content") | list)'


def pairs():
    rng = random.Random(7)
    words = " ".join(texts.PROSE.values()).split()
    def some(count):
        return " ".join(rng.choice(words) for _ in range(count))
    # Short ones; one side cut; both cut; nothing in one or both.
    lengths = [(3, 5), (1, 9), (4, 70), (70, 4), (60, 60), (0, 6), (6, 0), (0, 0)]
    return [[some(a), some(b)] for a, b in lengths for _ in range(3)]


def odd_pairs():
    """What a tokenizer might join with the template around it."""
    return [["why?", "\nbecause."], ["so \n", " spaced "], ["</think>", "<|im_end|>yes"], ["1", "2"], ["it's", "'s"],
            ["  ", "\n\n"], ["e", "\u0301e"], ["<Query>: x", "<Document>: y"]]


def vocab_size(tokenizer):
    vocab = tokenizer["model"]["vocab"]
    ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    return 1 + max([*ids, *(t["id"] for t in tokenizer["added_tokens"])])


def bert(folder):
    tokenizer = json.loads((HERE.parent / "tokenizer/small.json").read_text())
    config = transformers.BertConfig(
        vocab_size=vocab_size(tokenizer), num_labels=1, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=LENGTH, initializer_range=0.3)
    save(folder, transformers.BertForSequenceClassification(config), tokenizer, LENGTH, **BERT_TOKENS)
    return predicted(folder, pairs(), LENGTH)


def deberta(folder):
    tokenizer = unigram_variants.tokenizer("deberta_v3")
    config = transformers.DebertaV2Config(
        vocab_size=vocab_size(tokenizer), num_labels=1, hidden_size=18, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=LENGTH, type_vocab_size=0, relative_attention=True,
        position_buckets=16, share_att_key=True, norm_rel_ebd="layer_norm", position_biased_input=False,
        pos_att_type="p2c|c2p", initializer_range=0.3)
    save(folder, transformers.DebertaV2ForSequenceClassification(config), tokenizer, LENGTH, **BERT_TOKENS)
    rows = predicted(folder, pairs(), LENGTH)
    (folder / "tokenizer.json").unlink()
    return rows


def qwen3_reranker(folder):
    """As Qwen's own files are, which say nothing of what they are for; scored as their card does it."""
    model, tokenizer = qwen(tied=True), qwen_tokenizer()
    save(folder, model, tokenizer, QWEN_LENGTH, pad_token="<|endoftext|>")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    before, after = (tokenizer.encode(text, add_special_tokens=False) for text in (PREFIX, SUFFIX))
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    model.double()

    @torch.no_grad()
    def score(query, document):
        ids = tokenizer.encode(MIDDLE.format(TASK, query, document), add_special_tokens=False)
        ids = before + ids[: QWEN_LENGTH - len(before) - len(after)] + after
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1]
        return torch.softmax(logits[[no, yes]], 0)[1].item()

    return [{"pair": pair, "score": round(score(*pair), 8)} for pair in pairs() + odd_pairs()]


def logit_score(folder):
    """The same as sentence-transformers saves it; an output matrix of its own, a prompt as instruction."""
    made = folder.parent / "made"
    tokenizer = qwen_tokenizer()
    save(made, qwen(tied=False), tokenizer, QWEN_LENGTH, pad_token="<|endoftext|>")
    quoted = lambda text: "{{ " + json.dumps(text) + " }}"
    system = ROLE % "system"
    template = (quoted(PREFIX + "<Instruct>: ") + "{{ " + f"{system}[0] if {system} else {json.dumps(TASK)}" + " }}"
                + quoted("\n<Query>: ") + "{{ " + ROLE % "query" + "[0] }}" + quoted("\n<Document>: ")
                + "{{ " + ROLE % "document" + "[0] }}" + quoted(SUFFIX))
    transformer = Transformer(str(made), transformer_task="text-generation", max_seq_length=QWEN_LENGTH,
                              processor_kwargs={"chat_template": template})
    vocab = tokenizer["model"]["vocab"]
    encoder = CrossEncoder(modules=[transformer, LogitScore(vocab["yes"], vocab["no"])], device="cpu",
                           prompts={"task": "Find what the text is about"}, default_prompt_name="task")
    encoder.save_pretrained(str(folder))
    for extra in ("README.md", "generation_config.json"):
        (folder / extra).unlink()
    for file in made.iterdir():
        file.unlink()
    made.rmdir()
    write(folder / "instructed.json", {"instruction": INSTRUCTION,
                                       "rows": predicted(folder, pairs(), QWEN_LENGTH, prompt=INSTRUCTION)})
    return predicted(folder, pairs() + odd_pairs(), QWEN_LENGTH)


def qwen_tokenizer():
    # What is not among the merges cannot come of a text, but has an id.
    vocab, _ = byte_level.trained(byte_level.QWEN2_WORDS, 1200)
    vocab = vocab | {word: len(vocab) + i for i, word in enumerate(["yes", "no"])}
    names = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    added = byte_level.added(vocab, len(vocab), *((name, "special") for name in names), ("<think>",), ("</think>",))
    return byte_level.tokenizer(
        byte_level.QWEN2_WORDS, added, vocab, 1200, normalizer={"type": "NFC"}, post_processor=byte_level.byte_level(),
        pre_tokenizer={"type": "Sequence", "pretokenizers": [byte_level.split(byte_level.QWEN2_WORDS), byte_level.byte_level()]})


def qwen(tied):
    config = transformers.Qwen3Config(
        vocab_size=vocab_size(qwen_tokenizer()) + 5, hidden_size=20, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=10, intermediate_size=34, max_position_embeddings=QWEN_LENGTH,
        tie_word_embeddings=tied, initializer_range=0.3, attn_implementation="eager")
    return transformers.Qwen3ForCausalLM(config).eval()


def save(folder, model, tokenizer, length, **tokens):
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    write(folder / "tokenizer.json", tokenizer)
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": length, **tokens,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"][:: 1 if "cls_token" in tokens else 2]})


def predicted(folder, rows, length, **how):
    encoder = CrossEncoder(str(folder), device="cpu", max_length=length)
    encoder.model.double()
    return [{"pair": pair, "score": round(float(encoder.predict([pair], **how)[0]), 8)} for pair in rows]


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


MODELS = {make.__name__: make for make in (bert, deberta, qwen3_reranker, logit_score)}


def main():
    for name in sys.argv[1:] or MODELS:
        torch.manual_seed(6)
        folder = HERE / name
        write(folder / "scores.json", MODELS[name](folder))


if __name__ == "__main__":
    main()
