"""Makes the vectors that the engine's test compares with: sentence-transformers over all-MiniLM-L6-v2.

    python make.py FOLDER_OF_THE_MODEL      (needs torch, sentence-transformers)

Writes cases.json (texts and their token ids, as the model's limit of 256 leaves them) and vectors.f32 (little-endian
floats [texts, 384], as sentence-transformers answers them, normalized).
"""

import json
import pathlib
import random
import sys

from sentence_transformers import SentenceTransformer

SENTENCES = [
    "a",
    "",
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog.",
    "Sphinx of black quartz, judge my vow.",
    "How do I reset my password?",
    "Mitochondria are membrane-bound organelles that generate most of the cell's supply of ATP.",
    "SELECT name, count(*) FROM users WHERE age > 21 GROUP BY name ORDER BY 2 DESC;",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }  // dot product",
    "😀😃😄 party 🎉🎊 time 🚀",
    "👩‍👩‍👧‍👦 family, 🏳️‍🌈 flag, 👍🏽 skin tone",
    "東京は日本の首都です。人口は約1400万人。",
    "机器学习是人工智能的一个分支,研究如何让计算机从数据中学习。",
    "한국어 문장도 벡터로 바꿀 수 있습니다.",
    "Быстрая коричневая лиса перепрыгивает через ленивую собаку.",
    "Η γρήγορη καφέ αλεπού πηδάει πάνω από το τεμπέλικο σκυλί.",
    "الثعلب البني السريع يقفز فوق الكلب الكسول",
    "השועל החום המהיר קופץ מעל הכלב העצלן",
    "सीखना कभी बंद नहीं होता।",
    "Größe, Übermut, naïve café, Ångström, ĀĒĪŌŪ",
    "Ｆｕｌｌｗｉｄｔｈ　ｔｅｘｔ",
    "e\u0301 combining and \u200bzero width and \ufeffmark",
    "1234567890 3.14159 -273.15 6.02e23 0xDEADBEEF",
    "https://example.com/path/to/page?query=value&other=1#fragment",
    "!?!?!?... --- *** ((())) [[]] {{}} <<>>",
    "word " * 40,
    "supercalifragilisticexpialidocious" * 6,
    "\t tabs \n and \r\n lines \n\n\n",
    "RAG systems retrieve passages by vector similarity before a language model writes the answer.",
    "What is the capital of France?",
    "Paris is the capital and most populous city of France.",
]


def long_texts():
    """Texts of growing length, past the limit, from words in a fixed random order."""
    rng = random.Random(7)
    words = " ".join(SENTENCES[4:9] + SENTENCES[28:]).split()
    for count in (15, 30, 47, 60, 63, 80, 100, 126, 150, 200, 254, 400):
        yield " ".join(rng.choice(words) for _ in range(count))


def main():
    here = pathlib.Path(__file__).parent
    model = SentenceTransformer(sys.argv[1], device="cpu")
    texts = SENTENCES + list(long_texts())
    ids = []
    for text in texts:
        features = model.tokenize([text])
        ids.append(features["input_ids"][0][features["attention_mask"][0].bool()].tolist())
    # The model itself is fed one text at a time: no padding takes part in the reference.
    vectors = model.encode(texts, batch_size=1, convert_to_numpy=True).astype("<f4")
    cases = [{"text": text, "ids": row} for text, row in zip(texts, ids)]
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (here / "cases.json").write_text("[\n" + lines + "\n]\n")
    (here / "vectors.f32").write_bytes(vectors.tobytes())


if __name__ == "__main__":
    main()
