"""BERT's successors for long texts as their authors published them, for make.py: transformers has not all of them, and
of none the form in which their own code saves them. Modules bear the names that the weights have there.

Each class says what it follows. Written from the papers and the names and shapes of the published weights; where
transformers has the same model, make.py demands that both agree.
"""

import json
import math
import types

import safetensors.torch
import torch
from torch import nn

ACTIVATIONS = {"gelu": nn.functional.gelu, "silu": nn.functional.silu, "relu": nn.functional.relu}


def cosines_and_sines(length, speeds):
    """Of RoFormer (2021): [length, pairs] each, for pairs that turn by `speeds` radians a token."""
    angles = torch.outer(torch.arange(length, dtype=torch.float64), speeds)
    return angles.cos(), angles.sin()


def turn(x, cosines, sines):
    """x [length, heads, size]: value i and value i + pairs turn together, the rest stays (GPT-NeoX)."""
    pairs = cosines.shape[1]
    a, b, rest = x.split([pairs, pairs, x.shape[2] - 2 * pairs], dim=2)
    cosines, sines = cosines[:, None].to(x.dtype), sines[:, None].to(x.dtype)
    return torch.cat([a * cosines - b * sines, b * cosines + a * sines, rest], dim=2)


def speeds(theta, size):
    return theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)


def ntk_speeds(theta, size, factor):
    """The unmixed form of https://kexue.fm/archives/9706, equation 6."""
    return speeds(theta * factor, size) / factor ** (2 / size)


def dynamic_speeds(theta, size, factor, trained, length):
    """Grows theta for a text longer than the model was trained on (dynamic NTK, by emozilla 2023)."""
    if length > trained:
        theta *= (factor * length / trained - (factor - 1)) ** (size / (size - 2))
    return speeds(theta, size)


def slopes(heads):
    """Of ALiBi (2022); for other than powers of two as its authors' implementation does."""
    power = 2 ** math.floor(math.log2(heads))
    first = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return first if power == heads else first + slopes(2 * power)[::2][:heads - power]


def attend(query, key, value, heads, bias=0):
    """query, key, value [length, hidden] -> [length, hidden], seeing the whole text."""
    query, key, value = (x.reshape(len(x), heads, -1).transpose(0, 1) for x in (query, key, value))
    scores = query @ key.transpose(1, 2) / math.sqrt(query.shape[2]) + bias
    return (scores.softmax(dim=-1) @ value).transpose(0, 1).reshape(query.shape[1], -1)


class Saved(nn.Module):
    """A model with its config.json, called and saved as those of transformers are."""

    base_model_prefix = "nothing"

    def __init__(self, config):
        super().__init__()
        self.config = types.SimpleNamespace(**config)

    def save_pretrained(self, folder, state_dict=None, max_shard_size=None):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(vars(self.config), indent=2, sort_keys=True) + "\n")
        weights = {name: value.contiguous() for name, value in (state_dict or self.state_dict()).items()}
        safetensors.torch.save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})

    def spread(self, std=0.3):
        """Weights far from the linear part of softmax and GELU."""
        for value in self.parameters():
            nn.init.normal_(value, std=std) if value.dim() > 1 else nn.init.normal_(value, std=0.1)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
        return self

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        types_ = token_type_ids if token_type_ids is not None else torch.zeros_like(input_ids)
        states = torch.stack([self.encode(ids, row) for ids, row in zip(input_ids, types_)])
        return types.SimpleNamespace(last_hidden_state=states)


class Embeddings(nn.Module):
    def __init__(self, vocab, types_, hidden, positions=0):
        super().__init__()
        self.word_embeddings = nn.Embedding(vocab, hidden)
        if types_:
            self.token_type_embeddings = nn.Embedding(types_, hidden)
        if positions:
            self.position_embeddings = nn.Embedding(positions, hidden)

    def forward(self, ids, types_, positions=None):
        x = self.word_embeddings(ids)
        if hasattr(self, "token_type_embeddings"):
            x = x + self.token_type_embeddings(types_)
        return x if positions is None else x + self.position_embeddings(positions)


class PackedAttention(nn.Module):
    def __init__(self, hidden, packed, output, bias):
        super().__init__()
        self.names = packed, output
        self.add_module(packed, nn.Linear(hidden, 3 * hidden, bias=bias))
        self.add_module(output, nn.Linear(hidden, hidden, bias=bias))

    def forward(self, x, heads, angles):
        packed, output = (getattr(self, name) for name in self.names)
        query, key, value = packed(x).chunk(3, dim=1)
        if angles is not None:
            query, key = (turn(y.reshape(len(y), heads, -1), *angles).reshape(y.shape) for y in (query, key))
        return output(attend(query, key, value, heads))


class Mlp(nn.Module):
    """fc2(gelu(fc1))"""

    def __init__(self, hidden, inner, bias1=True, bias2=True):
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner, bias=bias1)
        self.fc2 = nn.Linear(inner, hidden, bias=bias2)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class NomicGated(nn.Module):
    """fc2(fc11 * activation(fc12)); the inner size is rounded up to 256."""

    def __init__(self, hidden, inner, activation, bias1, bias2):
        super().__init__()
        inner = -(-inner // 256) * 256
        self.activation = ACTIVATIONS[activation]
        self.fc11 = nn.Linear(hidden, inner, bias=bias1)
        self.fc12 = nn.Linear(hidden, inner, bias=bias1)
        self.fc2 = nn.Linear(inner, hidden, bias=bias2)

    def forward(self, x):
        return self.fc2(self.fc11(x) * self.activation(self.fc12(x)))


class NomicExperts(nn.Module):
    """Nussbaum and Duderstadt, "Training Sparse Mixture Of Experts Text Embedding Models" (2025): softmax over all, the
    best few kept, their shares as they are; weights of all experts below each other, those of the way down transposed;
    one bias for all."""

    def __init__(self, hidden, inner, count, chosen):
        super().__init__()
        self.count, self.chosen = count, chosen
        self.router = nn.ModuleDict({"layer": nn.Linear(hidden, count, bias=False)})
        self.experts = nn.Module()
        self.experts.mlp = nn.Module()
        self.experts.mlp.w1 = nn.Parameter(torch.empty(count * inner, hidden))
        self.experts.mlp.w2 = nn.Parameter(torch.empty(count * inner, hidden))
        self.experts.bias = nn.Parameter(torch.empty(hidden))

    def forward(self, x):
        shares = self.router["layer"](x).softmax(dim=-1)
        kept = torch.zeros_like(shares).scatter(1, *reversed(shares.topk(self.chosen, dim=1)))
        up = self.experts.mlp.w1.reshape(self.count, -1, x.shape[1])
        down = self.experts.mlp.w2.reshape(self.count, -1, x.shape[1])
        each = nn.functional.gelu(torch.einsum("th,eih->tei", x, up))
        return torch.einsum("tei,eih,te->th", each, down, kept) + self.experts.bias


class Nomic(Saved):
    """Nussbaum et al., "Nomic Embed" (2024): nomic-embed-text-v1, -v1.5 and, with experts, -v2-moe."""

    def __init__(self, config):
        super().__init__(config)
        c = self.config
        vocab = -(-c.vocab_size // c.pad_vocab_size_multiple) * c.pad_vocab_size_multiple
        self.embeddings = Embeddings(vocab, c.type_vocab_size, c.n_embd)
        self.emb_ln = nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon)
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(self.layer(i) for i in range(c.n_layer))

    def layer(self, index):
        c = self.config
        layer = nn.Module()
        layer.attn = PackedAttention(c.n_embd, "Wqkv", "out_proj", c.qkv_proj_bias)
        layer.norm1 = nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon)
        layer.norm2 = nn.LayerNorm(c.n_embd, eps=c.layer_norm_epsilon)
        if getattr(c, "moe_every_n_layers", 0) and index % c.moe_every_n_layers == 1:
            layer.mlp = NomicExperts(c.n_embd, c.n_inner, c.num_experts, c.moe_top_k)
        elif c.activation_function == "gelu":
            layer.mlp = Mlp(c.n_embd, c.n_inner, c.mlp_fc1_bias, c.mlp_fc2_bias)
        else:
            activation = {"swiglu": "silu", "geglu": "gelu"}[c.activation_function]
            layer.mlp = NomicGated(c.n_embd, c.n_inner, activation, c.mlp_fc1_bias, c.mlp_fc2_bias)
        return layer

    def angles(self, length):
        c = self.config
        size = int(c.n_embd // c.n_head * c.rotary_emb_fraction)
        if not c.rotary_scaling_factor:
            return cosines_and_sines(length, speeds(c.rotary_emb_base, size))
        return cosines_and_sines(length, dynamic_speeds(c.rotary_emb_base, size, c.rotary_scaling_factor,
                                                        c.max_trained_positions, length))

    def encode(self, ids, types_):
        x = self.emb_ln(self.embeddings(ids, types_))
        for layer in self.encoder.layers:
            x = layer.norm1(x + layer.attn(x, self.config.n_head, self.angles(len(ids))))
            x = layer.norm2(x + layer.mlp(x))
        return x


class New(Saved):
    """Zhang et al., "mGTE" (2024), as Alibaba-NLP/new-impl names it: gte-multilingual, gte-en-v1.5,
    arctic-embed-m-v2.0, stella_en_400M_v5."""

    def __init__(self, config):
        super().__init__(config)
        c = self.config
        self.embeddings = Embeddings(c.vocab_size, c.type_vocab_size, c.hidden_size)
        self.embeddings.LayerNorm = self.norm()
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(self.layer() for _ in range(c.num_hidden_layers))

    def norm(self):
        return nn.LayerNorm(self.config.hidden_size, eps=self.config.layer_norm_eps)

    def layer(self):
        c = self.config
        layer = nn.Module()
        layer.attention = PackedAttention(c.hidden_size, "qkv_proj", "o_proj", True)
        layer.attn_ln, layer.mlp_ln = self.norm(), self.norm()
        layer.mlp = nn.ModuleDict({"up_gate_proj": nn.Linear(c.hidden_size, 2 * c.intermediate_size, bias=False),
                                   "down_proj": nn.Linear(c.intermediate_size, c.hidden_size)})
        return layer

    def angles(self, length):
        c = self.config
        size = c.hidden_size // c.num_attention_heads
        if not c.rope_scaling:
            return cosines_and_sines(length, speeds(c.rope_theta, size))
        return cosines_and_sines(length, ntk_speeds(c.rope_theta, size, c.rope_scaling["factor"]))

    def encode(self, ids, types_):
        x = self.embeddings.LayerNorm(self.embeddings(ids, types_))
        for layer in self.encoder.layer:
            x = layer.attn_ln(x + layer.attention(x, self.config.num_attention_heads, self.angles(len(ids))))
            up, gate = layer.mlp["up_gate_proj"](x).chunk(2, dim=1)
            x = layer.mlp_ln(x + layer.mlp["down_proj"](up * nn.functional.gelu(gate)))
        return x


class JinaBert(Saved):
    """Günther et al., "Jina Embeddings 2" (2023), as jinaai/jina-bert-implementation names it; with `code` as
    jinaai/jina-bert-v2-qk-post-norm, of jina-embeddings-v2-base-code."""

    def __init__(self, config, code=False):
        super().__init__(config)
        self.code = code
        c = self.config
        self.embeddings = Embeddings(c.vocab_size, c.type_vocab_size, c.hidden_size)
        self.embeddings.LayerNorm = self.norm()
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(self.layer() for _ in range(c.num_hidden_layers))

    def norm(self):
        return nn.LayerNorm(self.config.hidden_size, eps=self.config.layer_norm_eps)

    def layer(self):
        c = self.config
        layer = nn.Module()
        layer.attention = nn.Module()
        names = ("query", "key", "value")
        layer.attention.self = nn.ModuleDict({name: nn.Linear(c.hidden_size, c.hidden_size) for name in names})
        layer.attention.output = nn.ModuleDict({"dense": nn.Linear(c.hidden_size, c.hidden_size),
                                                "LayerNorm": self.norm()})
        wide = nn.Linear(c.hidden_size, 2 * c.intermediate_size, bias=False)
        down = nn.Linear(c.intermediate_size, c.hidden_size)
        if self.code:
            layer.attention.self["layer_norm_q"], layer.attention.self["layer_norm_k"] = self.norm(), self.norm()
            layer.mlp = nn.ModuleDict({"up_gated_layer": wide, "down_layer": down})
            layer.layer_norm_1, layer.layer_norm_2 = self.norm(), self.norm()
        else:
            layer.mlp = nn.ModuleDict({"gated_layers": wide, "wo": down, "layernorm": self.norm()})
        return layer

    def attention(self, part, x):
        query, key, value = (part.self[name](x) for name in ("query", "key", "value"))
        if self.code:  # over the full width, before heads are cut
            query, key = part.self["layer_norm_q"](query), part.self["layer_norm_k"](key)
        heads = self.config.num_attention_heads
        places = torch.arange(len(x))
        distance = (places[:, None] - places).abs().to(x.dtype)
        bias = -torch.tensor(slopes(heads), dtype=x.dtype)[:, None, None] * distance
        return part.output["LayerNorm"](x + part.output["dense"](attend(query, key, value, heads, bias)))

    def encode(self, ids, types_):
        activation = ACTIVATIONS[{"geglu": "gelu", "reglu": "relu"}[self.config.feed_forward_type]]
        x = self.embeddings.LayerNorm(self.embeddings(ids, types_))
        for layer in self.encoder.layer:
            attended = self.attention(layer.attention, x)
            if self.code:
                x = layer.layer_norm_1(x + attended)
                up, gate = layer.mlp["up_gated_layer"](x).chunk(2, dim=1)
                x = layer.layer_norm_2(x + layer.mlp["down_layer"](up * activation(gate)))
            else:
                gate, up = layer.mlp["gated_layers"](attended).chunk(2, dim=1)
                x = layer.mlp["layernorm"](attended + layer.mlp["wo"](activation(gate) * up))
        return x


class JinaXlmRoberta(Saved):
    """XLM-R as jinaai/xlm-roberta-flash-implementation names it: of jina-embeddings-v3 (rotary, without its adapters)
    and of jina-reranker-v2 (XLM-R's own positions)."""

    def __init__(self, config):
        super().__init__(config)
        c = self.config
        table = c.max_position_embeddings if c.position_embedding_type == "absolute" else 0
        self.embeddings = Embeddings(c.vocab_size, c.type_vocab_size, c.hidden_size, table)
        self.emb_ln = self.norm()
        self.encoder = nn.Module()
        self.encoder.layers = nn.ModuleList(self.layer() for _ in range(c.num_hidden_layers))

    def norm(self):
        return nn.LayerNorm(self.config.hidden_size, eps=self.config.layer_norm_eps)

    def layer(self):
        c = self.config
        layer = nn.Module()
        layer.mixer = PackedAttention(c.hidden_size, "Wqkv", "out_proj", True)
        layer.norm1, layer.norm2 = self.norm(), self.norm()
        layer.mlp = Mlp(c.hidden_size, c.intermediate_size)
        return layer

    def encode(self, ids, types_):
        c = self.config
        angles = positions = None
        if c.position_embedding_type == "rotary":
            size = c.hidden_size // c.num_attention_heads
            angles = cosines_and_sines(len(ids), speeds(c.rotary_emb_base, size))
        else:
            positions = torch.arange(len(ids)) + c.pad_token_id + 1
        x = self.emb_ln(self.embeddings(ids, types_, positions))
        for layer in self.encoder.layers:
            x = layer.norm1(x + layer.mixer(x, c.num_attention_heads, angles))
            x = layer.norm2(x + layer.mlp(x))
        return x


class JinaV3(JinaXlmRoberta):
    """jina-embeddings-v3 as its own repository saves it: each product and each embedding with adapters beside it, named
    by torch.nn.utils.parametrize. Without a task it computes as if there were none."""

    def save_pretrained(self, folder, state_dict=None, max_shard_size=None):
        weights = {}
        for name, value in (state_dict or self.state_dict()).items():
            layer, _, kind = name.rpartition(".")
            if kind != "weight" or value.dim() != 2:
                weights["roberta." + name] = value
                continue
            base = f"roberta.{layer}.parametrizations.weight."
            weights[base + "original"] = value
            weights[base + "0.lora_A"] = torch.randn(5, 4, value.shape[1])
            weights[base + "0.lora_B"] = torch.randn(5, value.shape[0], 4)
        super().save_pretrained(folder, weights)


class Classifier(Saved):
    """A body with a head of BERT's form, by which NewForSequenceClassification and Jina's rerankers score: the first
    token through `dense` and tanh, then one output a label."""

    def __init__(self, body, prefix, dense, labels):
        super().__init__(vars(body.config))
        self.prefix, self.names = prefix, (dense, labels)
        self.add_module(prefix, body)
        hidden, count = body.config.hidden_size, len(body.config.id2label)
        for path, layer in ((dense, nn.Linear(hidden, hidden)), (labels, nn.Linear(hidden, count))):
            *folders, name = path.split(".")
            place = self
            for folder in folders:
                if not hasattr(place, folder):
                    place.add_module(folder, nn.Module())
                place = getattr(place, folder)
            place.add_module(name, layer)

    def forward(self, **inputs):
        first = getattr(self, self.prefix)(**inputs).last_hidden_state[:, 0]
        dense, labels = (self.get_submodule(name) for name in self.names)
        return types.SimpleNamespace(logits=labels(torch.tanh(dense(first))))
