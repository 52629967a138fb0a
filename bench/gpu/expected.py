"""What the CUDA engine should take on an H200, by model and length: the table of docs/cuda.md.

Operations and bytes are counted launch by launch for one token of one layer, times are their sums at fixed rates. They
are expectations to hold measurements against, and no measurements.
"""

import math

MATRIX_RATE = 790e12  # operations a second of 16-bit products, measured on such a card
# Attention, calculated: what a score takes of an SM. 132 SMs at 1.83 GHz have a peak of 989 TFLOP/s (4096 operations a
# clock), take 16 powers of two a clock, and issue 128 lanes a clock.
#
# Texts of up to 64 tokens, by mma.sync, which reaches 63 % of the peak on such a card (Luo et al., "Benchmarking and
# Dissecting the Nvidia Hopper GPU Architecture", 2024): products, powers and the instructions of softmax one after the other,
# although warps overlap them. Softmax has 4.5 instructions a score: power, largest, product and sum, and half a conversion.
# Loads, barriers and the end of a tile are not in it, so no more is expected than FlashAttention-2 reaches there: 35 % of the
# peak (Shah et al., "FlashAttention-3", 2024).
#
# Longer ones, by wgmma: products at the rate of the library's, and powers, as if these two never overlapped and all else did
# behind them. FlashAttention-3 reaches up to 75 % of the peak there, this 31 to 67 %.
SM_CLOCKS = 132 * 1.83e9
MMA_SYNC_RATE = 0.63 * 4096 * SM_CLOCKS
MMA_SYNC_ATTENTION_MOST = 0.35 * 4096 * SM_CLOCKS
MMA_SYNC_TOKENS_MOST = 64
# With tables of positions, by mma.sync too; counted below, tile by tile.
TILE_QUERIES, WARP_QUERIES, TILE_KEYS = 128, 32, 64
TABLE_SINGLE, TABLE_REACH = 128, 512  # distances with a row of their own, and all, of DeBERTa-v3
BYTES_RATE = 4.8e12
FP8_RATE = 2 * MATRIX_RATE  # assumed
LAUNCH_S = 2.5e-6  # assumed, without graphs
BATCH_TOKENS = 32768  # as the engine groups texts
BLOCK_ROWS = {True: 16384, False: 8192}  # preferred_rows() of states that are narrow, and of others
NARROW_COLUMNS = 384

# A feed-forward part and its norm in one kernel (fused_feed_forward.cuh): a block of 128 rows has a multiprocessor to
# itself. A round takes 64 columns of the middle: 3072 clocks of the matrix unit, 3584 of shared memory, which so is what
# counts; what overlaps nothing is guessed, 150 clocks a round and 7000 a block, by its instructions.
FUSED_ROWS = 128
FUSED_ROUND_CLOCKS = 3584 + 150
FUSED_BLOCK_CLOCKS = 7000

# layers, hidden, heads, heads of keys, head size, intermediate, decoder
MODELS = {
    "MiniLM-L6": (6, 384, 12, 12, 32, 1536, False),
    "BERT-base": (12, 768, 12, 12, 64, 3072, False),
    "BERT-large, bge-m3": (24, 1024, 16, 16, 64, 4096, False),
    "DeBERTa-v3-base": (12, 768, 12, 12, 64, 3072, False),
    "DeBERTa-v3-large": (24, 1024, 16, 16, 64, 4096, False),
    "Qwen3-Embedding-0.6B": (28, 1024, 16, 8, 128, 3072, True),
    "Qwen3-Embedding-4B": (36, 2560, 32, 8, 128, 9728, True),
}
ROWS = [
    ("MiniLM-L6", 50),
    ("MiniLM-L6", 256),
    ("BERT-base", 50),
    ("BERT-base", 128),
    ("BERT-base", 512),
    ("BERT-large, bge-m3", 128),
    ("BERT-large, bge-m3", 512),
    ("Qwen3-Embedding-0.6B", 512),
    ("Qwen3-Embedding-4B", 512),
]
WITH_TABLES = [("DeBERTa-v3-base", 128), ("DeBERTa-v3-base", 512), ("DeBERTa-v3-large", 512)]


def product(inputs, outputs, residual=0):
    """Bytes of x W^T in 16 bits."""
    return 2 * (inputs + outputs + residual)


def is_fused(model):
    _, h, _, _, _, _, decoder = MODELS[model]
    return h == NARROW_COLUMNS and not decoder


def fused_s(model):
    """A token of one layer, of a batch that leaves no multiprocessor without a block but in its last wave."""
    f = MODELS[model][5]
    blocks = BATCH_TOKENS / FUSED_ROWS
    waves = -(-blocks // 132)
    clocks = (f / 64 + 1) * FUSED_ROUND_CLOCKS + FUSED_BLOCK_CLOCKS
    return waves * clocks * 132 / SM_CLOCKS / BATCH_TOKENS


def layer(model, now):
    """(bytes a token, launches a block) of one layer: now with gates by kernels of their own, later inside of the products
    before them; of narrow models now with two products and a norm, later in one."""
    _, h, heads, kv_heads, size, f, decoder = MODELS[model]
    q, qkv = heads * size, (heads + 2 * kv_heads) * size
    attention = 2 * (qkv + q)
    norm = 4 * h
    common = 2 * norm + product(h, qkv) + attention + product(q, h, h) + product(f, h, h)
    if is_fused(model) and not now:
        return norm + product(h, qkv) + attention + product(q, h, h) + product(h, h), 5
    if decoder:
        turned = 4 * (heads + kv_heads) * size  # read and written by norms and rotary positions, in one
        up = product(h, 2 * f) + 6 * f if now else product(h, f)
        return common + turned + up, 9 if now else 8
    return common + product(h, f), 7


def attention_rate(size, length):
    """Operations a second of heads of so many values, 4 * size of them a score."""
    power_s = 1 / (16 * SM_CLOCKS)
    if length > MMA_SYNC_TOKENS_MOST:
        return 4 * size / (4 * size / MATRIX_RATE + power_s)
    score_s = 4 * size / MMA_SYNC_RATE + power_s + 4.5 / (128 * SM_CLOCKS)
    return min(4 * size / score_s, MMA_SYNC_ATTENTION_MOST)


def computed(size, length, decoder):
    """Scores of a head that are computed: of 32 queries a warp by 16 keys, or of 64 a warpgroup by a tile of keys."""
    queries, keys = (32, 16) if length <= MMA_SYNC_TOKENS_MOST else (64, 128 if size == 128 else 64)
    scores = 0
    for first in range(0, length, queries):
        seen = min(first + queries, length) if decoder else length
        scores += queries * (-(-seen // keys) * keys)
    return scores


def table_row(distance):
    """As model/distance.cc has it, but for rounding."""
    far = abs(distance)
    if far > TABLE_SINGLE:
        octaves = math.log(far / TABLE_SINGLE) / math.log((TABLE_REACH - 1) / TABLE_SINGLE)
        far = TABLE_SINGLE + math.ceil(octaves * (TABLE_SINGLE - 1))
    return far if distance > 0 else -far


def blocks_reached(length, query, queries, key):
    """Of 16 rows of a table."""
    least, most = (max(-length + 1, min(length - 1, distance)) for distance in (query - key - TILE_KEYS + 1, query + queries - 1 - key))
    return table_row(most) // 16 - table_row(least) // 16 + 1


def tile_clocks(length, query, key):
    """What 128 queries by 64 keys of a head of 64 take of an SM's matrix unit, shared memory (L1 too: 128 bytes a clock),
    powers of two and issue of instructions."""
    warps = TILE_QUERIES // WARP_QUERIES
    pairs = -(-blocks_reached(length, query, TILE_QUERIES, key) // 2)  # of blocks, that a warp multiplies by all keys
    of_keys = 32 * pairs
    of_queries = sum(16 * blocks_reached(length, query + warp * WARP_QUERIES, WARP_QUERIES, key) for warp in range(warps)) / warps
    scores = TILE_QUERIES * TILE_KEYS
    products = (2 * scores + of_keys * TILE_KEYS + of_queries * TILE_QUERIES) * 64
    operands = 128 * ((2 * warps + pairs) * TILE_KEYS + of_keys + warps * of_queries)  # keys, values; tables
    written = 2 * (of_keys * TILE_KEYS + of_queries * TILE_QUERIES)
    copied = 2 * 128 * TILE_KEYS
    taken = scores / 32 * 3 + warps * 22 * 1.5  # terms of keys, those of queries from half of the banks; numbers of rows
    return (2 * products / (0.63 * 4096), (operands + written + copied) / 128 + taken, scores / 16,
            scores * (4.5 + 6 + 10 * 22 / 64) / 128)


def tables_attention(length):
    """Clocks of an SM for a token and head: the mean of tile_clocks(), and what a float32 kernel takes that reads 64
    numbers of a row of each table for every score, a line of the L1 cache a clock."""
    tiles = [tile_clocks(length, query, key) for query in range(0, length, TILE_QUERIES) for key in range(0, length, TILE_KEYS)]
    rows = sum(len({table_row(query - key - i) for i in range(32)}) for query in range(length) for key in range(0, length, 32))
    return [sum(clocks) / length for clocks in zip(*tiles)], 2 * 64 * rows / length


def expected_with_tables(model, length):
    """(clocks of a tile, tokens a second if shared memory alone was waited for, if nothing overlapped, by the float32
    kernel)"""
    layers, _, heads = MODELS[model][:3]
    clocks, before = tables_attention(length)
    rest = 1 / expected(model, length, True)[-1] - attention_seconds(model, length)
    rates = [1 / (rest + layers * heads * taken / SM_CLOCKS) for taken in (max(clocks), sum(clocks), before)]
    return [value * length / (-(-length // TILE_QUERIES) * -(-length // TILE_KEYS)) for value in clocks], *rates


def attention_seconds(model, length):
    layers, _, heads, _, size, _, decoder = MODELS[model]
    return layers * heads * 4 * size * computed(size, length, decoder) / length / attention_rate(size, length)


def expected(model, length, now):
    layers, h, heads, kv_heads, size, f, decoder = MODELS[model]
    products = 2 * layers * (h * (heads + 2 * kv_heads) * size + heads * size * h + (3 if decoder else 2) * h * f)
    attention = layers * (2 if decoder else 4) * length * heads * size
    attention_s = attention_seconds(model, length)
    moved, launches = layer(model, now)
    # Half of a layer's launches are by block.
    blocks = 1 if not now else 1 + (BATCH_TOKENS / BLOCK_ROWS[h <= NARROW_COLUMNS] - 1) / 2
    products_s = products / MATRIX_RATE
    if is_fused(model) and not now:
        products_s += layers * (fused_s(model) - 4 * h * f / MATRIX_RATE)
    seconds = (
        products_s + attention_s + layers * moved / BYTES_RATE
        + layers * launches * blocks * LAUNCH_S / BATCH_TOKENS
    )
    return products, attention, layers * moved, layers * launches + 3, 1 / seconds


def seconds_less_in_fp8(model, attention_too):
    """A token and all layers: products take half of the time. A kernel before the first rounds its rows, which it reads
    in 16 bits and writes in 8, as the product reads them then; what is between is written in 8 bits at once, by the gate
    or, without one, by the first product."""
    layers, h, heads, kv_heads, size, f, decoder = MODELS[model]
    products, rounded = (3 if decoder else 2) * h * f, [h]
    if attention_too:
        products += h * (heads + 2 * kv_heads) * size + heads * size * h
        rounded += [h, heads * size]
    moved = sum((2 + 1 + 1 - 2) * columns for columns in rounded) - (2 + 2 - 1 - 1) * f
    blocks = BATCH_TOKENS / BLOCK_ROWS[h <= NARROW_COLUMNS]
    launches = blocks + (1 + blocks if attention_too else 0)  # all but the first of a layer by block
    return layers * (2 * products * (1 / MATRIX_RATE - 1 / FP8_RATE) - moved / BYTES_RATE
                     - launches * LAUNCH_S / BATCH_TOKENS)


def text(rate):
    return f"{rate / 1e6:.2f} M" if rate >= 1e6 else f"{rate / 1e3:.0f} K"


def main():
    print("| model | length | products, MFLOP | attention, MFLOP | KB moved | launches | expected now | expected by plan | measured |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for model, length in ROWS:
        products, attention, moved, launches, rate = expected(model, length, True)
        _, _, less, fewer, later = expected(model, length, False)
        print(
            f"| {model} | {length} | {products / 1e6:.1f} | {attention / 1e6:.1f} | {moved / 1e3:.0f} → {less / 1e3:.0f} "
            f"| {launches} → {fewer} | {text(rate)} | {text(later)} | not measured |"
        )
    print("\n| model | length | bfloat16 | fp8 | fp8 with attention | measured |")
    print("| --- | --- | --- | --- | --- | --- |")
    for model, length in ROWS:
        rate = expected(model, length, True)[-1]
        fp8 = [1 / (1 / rate - seconds_less_in_fp8(model, too)) for too in (False, True)]
        print(f"| {model} | {length} | {text(rate)} | " + " | ".join(f"{text(one)}, {one / rate:.2f} times" for one in fp8)
              + " | not measured |")
    print("\n| model | length | a tile: matrix unit, shared memory, exp2, instructions; clocks | floor | expected | in float32 | measured |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for model, length in WITH_TABLES:
        clocks, *rates = expected_with_tables(model, length)
        print(f"| {model} | {length} | " + ", ".join(f"{value:.0f}" for value in clocks) + " | "
              + " | ".join(text(rate) for rate in rates) + " | not measured |")


if __name__ == "__main__":
    main()
