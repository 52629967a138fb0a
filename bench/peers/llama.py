"""llama.cpp as a contender: ids through its C interface, as many texts in a turn as fit its default of 512 tokens."""

import ctypes

import llama_cpp
import numpy as np

import model_files
import workload

TURN_TOKENS = 512  # llama-server's --ubatch-size; more would let each text's attention look at all the others' tokens
POOLING = {"cls": "CLS", "mean": "MEAN", "lasttoken": "LAST", None: "RANK"}


class LlamaCpp:
    QUANTIZED, WORDS = False, None

    def __init__(self, task):
        self.version = llama_cpp.__version__
        self.pooling = POOLING[model_files.pooling_of(task.model)]
        def convert(path):
            import gguf_file  # takes a second, which is not llama.cpp's
            gguf_file.convert(task.model, path, self.pooling, self.QUANTIZED, self.WORDS)
        path = model_files.once(task.converted / f"{type(self).__name__}.gguf", convert)
        # The logger must outlive the library's calls.
        self.silence = llama_cpp.llama_log_callback(lambda *_: None)
        llama_cpp.llama_log_set(self.silence, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.batches = [list(turns(batch)) for batch in task.batches]
        longest = max(len(text) for batch in task.batches for text in batch)
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), llama_cpp.llama_model_default_params())
        self.context = llama_cpp.llama_init_from_model(self.model, self.settings(task.threads, longest))
        if not self.context:
            raise SystemExit("llama.cpp cannot open " + str(path))
        self.width = 1 if self.pooling == "RANK" else llama_cpp.llama_model_n_embd(self.model)

    def settings(self, threads, longest):
        settings = llama_cpp.llama_context_default_params()
        most = max(TURN_TOKENS, longest)
        settings.n_ctx = settings.n_batch = settings.n_ubatch = most
        # A power of two: where 512 is no multiple of it, its reservation of memory ends with an assertion.
        settings.n_seq_max = 1 << (max(len(turn) for batch in self.batches for turn in batch) - 1).bit_length()
        settings.kv_unified = True
        settings.n_threads = settings.n_threads_batch = threads
        settings.embeddings = True
        return settings

    def run(self):
        rows = [self.turn(texts) for batch in self.batches for texts in batch]
        rows = np.concatenate(rows)
        return [rows if self.width == 1 else rows / np.linalg.norm(rows, axis=1, keepdims=True)]

    def turn(self, texts):
        memory = llama_cpp.llama_get_memory(self.context)
        if memory:
            llama_cpp.llama_memory_clear(memory, True)
        batch = llama_cpp.llama_batch_init(workload.tokens_of([texts]), 0, 1)
        for sequence, text in enumerate(texts):
            for position, token in enumerate(text):
                at = batch.n_tokens
                batch.token[at], batch.pos[at] = token, position
                batch.n_seq_id[at], batch.seq_id[at][0] = 1, sequence
                batch.logits[at] = True
                batch.n_tokens += 1
        run = llama_cpp.llama_decode if memory else llama_cpp.llama_encode
        code = run(self.context, batch)
        if code:
            raise SystemExit(f"llama.cpp gave up with {code}")
        rows = [np.ctypeslib.as_array(llama_cpp.llama_get_embeddings_seq(self.context, i), (self.width,)).copy()
                for i in range(len(texts))]
        llama_cpp.llama_batch_free(batch)
        return np.stack(rows)


def turns(batch):
    turn = []
    for text in batch:
        if turn and workload.tokens_of([turn]) + len(text) > TURN_TOKENS:
            yield turn
            turn = []
        turn.append(text)
    yield turn


class F32(LlamaCpp):
    pass


class F32FewWords(LlamaCpp):
    """Without most of the product with the table of words, which llama.cpp does though nobody asked for it."""
    WORDS = 1024


class Q8(LlamaCpp):
    QUANTIZED = True
