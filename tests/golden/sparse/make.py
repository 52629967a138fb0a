"""Makes tiny random models that weigh words, and what transformers and sentence-transformers answer for them.

    python make.py [NAME...]      (needs torch, transformers, sentence-transformers)

For each of SPLADE: NAME/model/ (a model folder without tokenizer), NAME/cases.json (token ids of each text),
NAME/words.json (for each text the weight of every word) and NAME/tokens.json (for each text its last hidden states).
bge_m3/ has the same for the heads of bge-m3, computed here as its authors describe them; its tokens.json holds the
multi-vectors. served/ is a SPLADE model with a tokenizer, texts.json and words.json: {id: weight} for each text.
served_bge_m3/ has heads for ../texts/xlm_roberta/model, and words.json and tokens.json for the texts of texts.json.
"""

import json
import pathlib
import random
import shutil
import sys
import tempfile

import torch
import transformers
from safetensors.torch import save_file
from sentence_transformers.base.modules.transformer import Transformer
from sentence_transformers.sparse_encoder import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SpladePooling
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).resolve().parent
SHAPE = {"vocab_size": 59, "initializer_range": 0.3}
LENGTHS = [1, 2, 3, 7, 16, 17, 29]
TEXTS = ["How do I reset my password?", "the password of the account", "reset", "a reset of a password and an account",
         "Words never seen: zymurgy, qwerty!", " two  spaces ", "account " * 40, "Hello, world!"]


def bert():
    config = transformers.BertConfig(**SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                                     intermediate_size=40, max_position_embeddings=31)
    return transformers.BertForMaskedLM(config), SpladePooling("max")


def bert_untied():
    """The product has weights of its own."""
    config = transformers.BertConfig(**SHAPE, hidden_size=26, num_hidden_layers=1, num_attention_heads=2,
                                     intermediate_size=33, max_position_embeddings=29, tie_word_embeddings=False)
    return transformers.BertForMaskedLM(config), SpladePooling("max")


def distilbert():
    """As OpenSearch's models are."""
    config = transformers.DistilBertConfig(**SHAPE, dim=28, n_layers=2, n_heads=7, hidden_dim=37,
                                           max_position_embeddings=29)
    return transformers.DistilBertForMaskedLM(config), SpladePooling("max", "log1p_relu")


def xlm_roberta():
    config = transformers.XLMRobertaConfig(**SHAPE, hidden_size=30, num_hidden_layers=2, num_attention_heads=5,
                                           intermediate_size=44, max_position_embeddings=31, type_vocab_size=1,
                                           layer_norm_eps=1e-5, pad_token_id=1)
    return transformers.XLMRobertaForMaskedLM(config), SpladePooling("sum")


def mpnet():
    config = transformers.MPNetConfig(**SHAPE, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
                                      intermediate_size=40, max_position_embeddings=33)
    return transformers.MPNetForMaskedLM(config), SpladePooling("sum", "log1p_relu")


def modernbert():
    config = transformers.ModernBertConfig(
        **SHAPE, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=18,
        max_position_embeddings=47, local_attention=8, global_attn_every_n_layers=2, norm_eps=1e-4, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2, attn_implementation="eager")
    return transformers.ModernBertForMaskedLM(config), SpladePooling("max")


SPLADE = {make.__name__: make for make in (bert, bert_untied, distilbert, xlm_roberta, mpnet, modernbert)}


def write_splade(name):
    torch.manual_seed(3)
    model, pooling = SPLADE[name]()
    disturb(model)
    folder = HERE / name
    model.save_pretrained(folder / "model")
    pooling.save(str(made(folder / "model/1_SpladePooling")))
    write_modules(folder / "model", "MLMTransformer", "SpladePooling")
    cases = random_cases(4)
    model = model.double()
    words, tokens = [], []
    for ids in cases:
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.int64)}
        with torch.no_grad():
            logits = model(**inputs).logits
            states = getattr(model, model.base_model_prefix)(**inputs).last_hidden_state[0]
        words.append(rounded(pooling({"token_embeddings": logits, **inputs})["sentence_embedding"][0]))
        tokens.append(rounded(states))
    write(folder / "cases.json", cases)
    write(folder / "words.json", words)
    write(folder / "tokens.json", tokens if name == "bert" else tokens[2:4])


class Heads(torch.nn.Module):
    """Chen et al., "BGE M3-Embedding" (2024), sections 3.1 and 3.2."""

    def __init__(self, hidden, width):
        super().__init__()
        self.sparse_linear = torch.nn.Linear(hidden, 1)
        self.colbert_linear = torch.nn.Linear(hidden, width)

    def save(self, folder):
        for name in ("sparse_linear", "colbert_linear"):
            state = {key: value.float().contiguous() for key, value in getattr(self, name).state_dict().items()}
            save_file(state, made(folder) / f"{name}.safetensors")

    @torch.no_grad()
    def words(self, ids, states):
        weights = {}
        for token, weight in zip(ids, torch.relu(self.sparse_linear(states))[:, 0].tolist()):
            if token > 3 and weight > 0:
                weights[token] = max(weight, weights.get(token, 0))
        return weights

    @torch.no_grad()
    def vectors(self, states):
        return rounded(torch.nn.functional.normalize(self.colbert_linear(states[1:]), dim=-1))


def write_bge_m3():
    torch.manual_seed(4)
    config = transformers.XLMRobertaConfig(**SHAPE, hidden_size=30, num_hidden_layers=2, num_attention_heads=5,
                                           intermediate_size=44, max_position_embeddings=31, type_vocab_size=1)
    model, heads = transformers.XLMRobertaModel(config, add_pooling_layer=False), Heads(30, 13)
    disturb(model)
    folder = HERE / "bge_m3"
    model.save_pretrained(folder / "model")
    heads.save(folder / "model")
    write(made(folder / "model/1_Pooling") / "config.json", {"pooling_mode_cls_token": True})
    write_modules(folder / "model", "Transformer", "Pooling")
    cases = [[0, *ids, 2] for ids in random_cases(3) if len(ids) < 20] + [[0, 7, 7, 9, 7, 3, 2]]  # words stand twice
    model, heads = model.double(), heads.double()
    words, tokens = [], []
    for ids in cases:
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        weights = heads.words(ids, states)
        words.append([round(weights.get(i, 0), 9) for i in range(SHAPE["vocab_size"])])
        tokens.append(heads.vectors(states))
    write(folder / "cases.json", cases)
    write(folder / "words.json", words)
    write(folder / "tokens.json", tokens)


def write_served():
    torch.manual_seed(5)
    words = sorted({w for text in TEXTS[:4] for w in text.lower().replace("?", "").split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, "?", "!", ",", ":", "hello", "world", "##s",
                  *"abcdefgh", *(f"##{c}" for c in "abcdefgh")]
    with tempfile.TemporaryDirectory() as scratch:
        path = pathlib.Path(scratch) / "vocab.txt"
        path.write_text("\n".join(vocabulary) + "\n")
        tokenizer = transformers.BertTokenizerFast(vocab_file=str(path), vocab={w: i for i, w in enumerate(vocabulary)},
                                                   model_max_length=32)
        config = transformers.BertConfig(vocab_size=len(vocabulary), hidden_size=36, num_hidden_layers=2,
                                         num_attention_heads=3, intermediate_size=40, max_position_embeddings=40,
                                         initializer_range=0.3)
        model = transformers.BertForMaskedLM(config)
        disturb(model)
        model.save_pretrained(path.parent / "m")
        tokenizer.save_pretrained(path.parent / "m")
        encoder = SparseEncoder(modules=[Transformer(str(path.parent / "m"), transformer_task="fill-mask"),
                                         SpladePooling("max")], device="cpu")
        folder = HERE / "served/model"
        shutil.rmtree(folder, ignore_errors=True)
        encoder.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)
        rows = SparseEncoder(str(folder), device="cpu").encode(TEXTS, batch_size=1, convert_to_sparse_tensor=False)
    write(HERE / "served/texts.json", TEXTS)
    write(HERE / "served/words.json", [{i: round(float(w), 8) for i, w in enumerate(row) if w > 0} for row in rows])


def write_served_bge_m3():
    torch.manual_seed(6)
    source = HERE.parent / "texts/xlm_roberta/model"
    tokenizer = Tokenizer.from_file(str(HERE.parent / "tokenizer/unigram.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(64)
    model = transformers.XLMRobertaModel.from_pretrained(source, add_pooling_layer=False).double().eval()
    heads = Heads(model.config.hidden_size, 8)
    folder = HERE / "served_bge_m3"
    heads.save(folder)
    heads = heads.double()
    words, tokens = [], []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            states = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
        words.append({i: round(w, 9) for i, w in sorted(heads.words(ids, states).items())})
        tokens.append(heads.vectors(states))
    write(folder / "words.json", words)
    write(folder / "tokens.json", tokens)


def disturb(model):
    """Norms and biases begin as ones and zeros, which would hide those that are left out."""
    model.eval()
    with torch.no_grad():
        for _, value in model.named_parameters():
            if value.dim() == 1:
                value += 0.2 * torch.randn_like(value)


def random_cases(seed):
    rng = random.Random(seed)
    return [[rng.randrange(4, SHAPE["vocab_size"]) for _ in range(n)] for n in LENGTHS]


def write_modules(folder, first, second):
    kinds = [("", first), (f"1_{second}", second)]
    write(folder / "modules.json", [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(kinds)])


def rounded(tensor):
    return [rounded(row) for row in tensor] if tensor.dim() > 1 else [round(x, 9) for x in tensor.tolist()]


def made(folder):
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write(path, value):
    made(path.parent)
    path.write_text(json.dumps(value, separators=(",", ":")) + "\n")


OTHERS = {"bge_m3": write_bge_m3, "served": write_served, "served_bge_m3": write_served_bge_m3}


def main():
    for name in sys.argv[1:] or [*SPLADE, *OTHERS]:
        OTHERS[name]() if name in OTHERS else write_splade(name)


if __name__ == "__main__":
    main()
