"""TEI's services over gRPC, by a Python client made from proto/tei.proto: every method answers what HTTP answers."""

import os
import queue
import shutil
import signal
import threading
import time

import grpc
import numpy as np
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sheaf_server import MODEL, MODEL_FOLDER, REPOSITORY, Server, wait_until

GOLDEN = REPOSITORY / "tests/golden"
TEXTS = ["hello world", "", "Größe 東京 🚀", "a longer text about plants and light"]
QUERY = "How do plants turn sunlight into sugar?"
SERVICES = ("Info", "Embed", "Predict", "Rerank", "Tokenize")
LABELS = {"sad", "fine", "glad"}


class Tei:
    """Stubs of the five services on one channel, and the messages' module."""

    def __init__(self, server, stubs):
        self.server, self.pb = server, stubs["tei_pb2"]
        self.channel = grpc.insecure_channel(server.grpc, options=[("grpc.max_receive_message_length", -1)])
        for service in SERVICES:
            setattr(self, service.lower(), getattr(stubs["tei_pb2_grpc"], service + "Stub")(self.channel))

    def http(self, path, model=None, status=200, **body):
        answer = requests.post(self.server.http + path, params={"model": model} if model else {}, json=body, timeout=60)
        assert answer.status_code == status, answer.text
        return answer


@pytest.fixture(scope="module")
def many(tmp_path_factory, stubs):
    """An embedder, a reranker, a classifier and a SPLADE model: who names none gets the one that can."""
    classifier = tmp_path_factory.mktemp("models") / "classifier"
    shutil.copytree(GOLDEN / "classifiers/distilbert/model", classifier)
    shutil.copy(GOLDEN / "sparse/served/model/tokenizer.json", classifier)
    with Server(f"reranker={GOLDEN / 'rerankers/bert'}", f"classifier={classifier}",
                f"splade={GOLDEN / 'sparse/served/model'}", "--log-level", "warn", replicas=1) as server:
        yield Tei(server, stubs)


@pytest.fixture(scope="module")
def tei(server, stubs):
    return Tei(server, stubs)


def named(model):
    return {"metadata": [("x-sheaf-model", model)], "timeout": 60}


def refusal(call):
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def optional(message, field):
    return getattr(message, field) if message.HasField(field) else None


def sparse_of(message):
    return {term.index: term.value for term in message.sparse_embeddings}


def tokens_of(message):
    return np.array([token.embeddings for token in message.token_embeddings])


def labels_of(message):
    return [(prediction.label, prediction.score) for prediction in message.predictions]


# ---- the same answers as over HTTP, one by one and in streams


@pytest.mark.parametrize("fields", [{}, {"normalize": False}, {"dimensions": 32}, {"truncate": True}])
def test_embed(many, fields):
    got = [many.embed.Embed(many.pb.EmbedRequest(inputs=text, **fields), timeout=60) for text in TEXTS]
    want = many.http("/embed", inputs=TEXTS, **fields).json()
    np.testing.assert_allclose([message.embeddings for message in got], want, atol=1e-5)
    stream = many.embed.EmbedStream((many.pb.EmbedRequest(inputs=text, **fields) for text in TEXTS), timeout=60)
    np.testing.assert_allclose([message.embeddings for message in stream], want, atol=1e-5)


def test_truncation(many):
    long = "first " + "middle " * 400 + "last"
    for direction, name in ((0, "Right"), (1, "Left")):
        request = many.pb.EmbedRequest(inputs=long, truncate=True, truncation_direction=direction)
        got = many.embed.Embed(request, timeout=60)
        want = many.http("/embed", inputs=long, truncate=True, truncation_direction=name).json()[0]
        np.testing.assert_allclose(got.embeddings, want, atol=1e-5)
        assert got.metadata.compute_tokens == 256


def test_embed_sparse(many):
    texts = ["b c a", "d"]
    want = [{t["index"]: pytest.approx(t["value"], abs=1e-5) for t in row}
            for row in many.http("/embed_sparse", "splade", inputs=texts).json()]
    requests_ = [many.pb.EmbedSparseRequest(inputs=text, truncate=True) for text in texts]
    assert [sparse_of(many.embed.EmbedSparse(request, timeout=60)) for request in requests_] == want
    assert [sparse_of(message) for message in many.embed.EmbedSparseStream(iter(requests_), timeout=60)] == want
    assert any(want)


def test_embed_all(many):
    want = many.http("/embed_all", inputs=TEXTS).json()
    requests_ = [many.pb.EmbedAllRequest(inputs=text) for text in TEXTS]
    one_by_one = [many.embed.EmbedAll(request, timeout=60) for request in requests_]
    stream = list(many.embed.EmbedAllStream(iter(requests_), timeout=60))
    for answers in (one_by_one, stream):
        for message, rows in zip(answers, want, strict=True):
            np.testing.assert_allclose(tokens_of(message), rows, atol=1e-5)


@pytest.mark.parametrize("raw", [False, True])
def test_predict(many, raw):
    texts = ["b c a", "d", "a"]
    want = [[(row["label"], pytest.approx(row["score"], abs=1e-5)) for row in rows] for rows in
            many.http("/predict", "classifier", inputs=[[text] for text in texts], raw_scores=raw).json()]
    assert {label for label, _ in want[0]} == LABELS
    messages = [many.pb.PredictRequest(inputs=text, raw_scores=raw) for text in texts]
    assert [labels_of(many.predict.Predict(m, **named("classifier"))) for m in messages] == want
    assert [labels_of(m) for m in many.predict.PredictStream(iter(messages), **named("classifier"))] == want


def test_predict_pair(many):
    pairs = [["b c", "a"], ["d"]]
    want = [[(row["label"], pytest.approx(row["score"], abs=1e-5)) for row in rows]
            for rows in many.http("/predict", "classifier", inputs=pairs).json()]
    messages = [many.pb.PredictPairRequest(inputs=pair) for pair in pairs]
    assert [labels_of(many.predict.PredictPair(m, **named("classifier"))) for m in messages] == want
    assert [labels_of(m) for m in many.predict.PredictPairStream(iter(messages), **named("classifier"))] == want


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("return_text", [False, True])
def test_rerank(many, raw, return_text):
    options = {"truncate": True, "raw_scores": raw, "return_text": return_text}
    want = many.http("/rerank", query=QUERY, texts=TEXTS, **options).json()
    one = many.rerank.Rerank(many.pb.RerankRequest(query=QUERY, texts=TEXTS, **options), timeout=60)
    first, *others = [many.pb.RerankStreamRequest(query=QUERY, text=text, truncate=True) for text in TEXTS]
    first.raw_scores, first.return_text = raw, return_text  # of the others they do not count
    stream = many.rerank.RerankStream(iter([first, *others]), timeout=60)
    for answer in (one, stream):
        assert [rank.index for rank in answer.ranks] == [row["index"] for row in want]
        assert [rank.score for rank in answer.ranks] == pytest.approx([row["score"] for row in want], abs=1e-5)
        assert [optional(rank, "text") for rank in answer.ranks] == [row.get("text") for row in want]


def test_a_rank_stream_may_have_a_query_for_each_text(many):
    pairs = [("plants", "light"), ("light", "plants"), ("light", "sugar")]
    want = many.http("/predict", "reranker", inputs=[list(pair) for pair in pairs]).json()
    stream = many.rerank.RerankStream((many.pb.RerankStreamRequest(query=q, text=t) for q, t in pairs), timeout=60)
    scores = {rank.index: rank.score for rank in stream.ranks}
    assert [scores[i] for i in range(3)] == pytest.approx([row[0]["score"] for row in want], abs=1e-5)


@pytest.mark.parametrize("special", [False, True])
def test_tokenize_and_decode(many, special):
    want = many.http("/tokenize", inputs=TEXTS, add_special_tokens=special).json()
    messages = [many.pb.EncodeRequest(inputs=text, add_special_tokens=special) for text in TEXTS]
    one_by_one = [many.tokenize.Tokenize(message, timeout=60) for message in messages]
    assert one_by_one == list(many.tokenize.TokenizeStream(iter(messages), timeout=60))
    for message, tokens in zip(one_by_one, want, strict=True):
        assert [{"id": t.id, "text": t.text, "special": t.special, "start": optional(t, "start"),
                 "stop": optional(t, "stop")} for t in message.tokens] == tokens
    ids = [[token["id"] for token in tokens] for tokens in want if tokens]
    want = many.http("/decode", ids=ids, skip_special_tokens=special).json()
    messages = [many.pb.DecodeRequest(ids=i, skip_special_tokens=special) for i in ids]
    assert [many.tokenize.Decode(message, timeout=60).text for message in messages] == want
    assert [m.text for m in many.tokenize.DecodeStream(iter(messages), timeout=60)] == want


@pytest.mark.parametrize("model, kind", [
    (MODEL, "EMBEDDING"), ("reranker", "RERANKER"), ("classifier", "CLASSIFIER")])
def test_info(many, model, kind):
    got = many.info.Info(many.pb.InfoRequest(), **named(model))
    want = requests.get(many.server.http + "/info", params={"model": model}, timeout=10).json()
    assert got.model_type == getattr(many.pb, "MODEL_TYPE_" + kind)
    for field in ("version", "model_id", "model_dtype", "max_concurrent_requests", "max_input_length",
                  "max_batch_tokens", "max_client_batch_size", "tokenization_workers"):
        assert getattr(got, field) == want[field], field
    assert not got.HasField("sha") and not got.HasField("max_batch_requests")
    assert many.info.Info(many.pb.InfoRequest(), timeout=10).model_id == MODEL


def test_metadata_is_what_the_headers_say(many):
    text = TEXTS[2]
    got, call = many.embed.Embed.with_call(many.pb.EmbedRequest(inputs=text), timeout=60)
    headers = many.http("/embed", inputs=text).headers
    assert got.metadata.compute_chars == len(text) == int(headers["x-compute-characters"])
    assert got.metadata.compute_tokens == int(headers["x-compute-tokens"])
    times = got.metadata
    assert times.inference_time_ns > 0 and times.tokenization_time_ns > 0
    assert times.total_time_ns >= times.inference_time_ns + times.queue_time_ns
    assert times.total_time_ns < 60e9
    assert dict(call.trailing_metadata())["x-sheaf-model"] == MODEL
    pair = many.rerank.Rerank(many.pb.RerankRequest(query="ab", texts=["cde", "f"]), timeout=60)
    assert pair.metadata.compute_chars == 2 * 2 + 4


# ---- refusals, in HTTP's words


def test_wrong_input_is_refused_as_over_http(many):
    pb, invalid = many.pb, grpc.StatusCode.INVALID_ARGUMENT
    embed, predict, rerank, tokenize = many.embed, many.predict, many.rerank, many.tokenize
    cases = [
        (lambda: embed.Embed(pb.EmbedRequest(inputs="word " * 400), timeout=60),
         ("/embed", 422, {"inputs": "word " * 400, "truncate": False})),
        (lambda: embed.Embed(pb.EmbedRequest(inputs="a", dimensions=0), timeout=60),
         ("/embed", 422, {"inputs": "a", "dimensions": 0})),
        (lambda: embed.Embed(pb.EmbedRequest(inputs="a", dimensions=9999), timeout=60),
         ("/embed", 422, {"inputs": "a", "dimensions": 9999})),
        (lambda: embed.EmbedAll(pb.EmbedAllRequest(inputs="a", prompt_name="no"), timeout=60),
         ("/embed_all", 422, {"inputs": "a", "prompt_name": "no"})),
        (lambda: predict.PredictPair(pb.PredictPairRequest(inputs=["a", "b", "c"]), timeout=60),
         ("/predict", 422, {"inputs": ["a", "b", "c"]})),
        (lambda: predict.PredictPair(pb.PredictPairRequest(), timeout=60), ("/predict", 400, {"inputs": []})),
        (lambda: rerank.Rerank(pb.RerankRequest(query="a"), timeout=60), ("/rerank", 400, {"query": "a", "texts": []})),
        (lambda: rerank.RerankStream(iter(()), timeout=60), ("/rerank", 400, {"query": "a", "texts": []})),
        (lambda: rerank.Rerank(pb.RerankRequest(query="a", texts=["b"] * 2049), timeout=60),
         ("/rerank", 413, {"query": "a", "texts": ["b"] * 2049})),
        (lambda: tokenize.Tokenize(pb.EncodeRequest(inputs="a", prompt_name="no"), timeout=60),
         ("/tokenize", 422, {"inputs": "a", "prompt_name": "no"})),
        (lambda: tokenize.Decode(pb.DecodeRequest(), timeout=60), ("/decode", 400, {"ids": []})),
        (lambda: tokenize.Decode(pb.DecodeRequest(ids=[30522]), timeout=60), ("/decode", 422, {"ids": [30522]})),
        (lambda: tokenize.Decode(pb.DecodeRequest(ids=[1, 2**31]), timeout=60), ("/decode", 422, {"ids": [1, 2**31]})),
    ]
    for call, (path, status, body) in cases:
        want = many.http(path, status=status, **body).json()["error"]
        assert refusal(call) == (invalid, want), path


def test_wrong_kinds_of_model(many):
    pb, embed, wrong = many.pb, many.embed, grpc.StatusCode.FAILED_PRECONDITION
    cases = [
        (lambda: embed.Embed(pb.EmbedRequest(inputs="a"), **named("reranker")),
         ("/embed", "reranker", {"inputs": "a"})),
        (lambda: embed.Embed(pb.EmbedRequest(inputs="a"), **named("splade")), ("/embed", "splade", {"inputs": "a"})),
        (lambda: embed.EmbedSparse(pb.EmbedSparseRequest(inputs="a"), **named(MODEL)),
         ("/embed_sparse", MODEL, {"inputs": "a"})),
        (lambda: many.predict.Predict(pb.PredictRequest(inputs="a"), **named(MODEL)),
         ("/predict", MODEL, {"inputs": "a"})),
        (lambda: many.rerank.Rerank(pb.RerankRequest(query="a", texts=["b"]), **named("classifier")),
         ("/rerank", "classifier", {"query": "a", "texts": ["b"]})),
        (lambda: many.rerank.RerankStream(iter([pb.RerankStreamRequest(query="a", text="b")]), **named(MODEL)),
         ("/rerank", MODEL, {"query": "a", "texts": ["b"]})),
        (lambda: list(embed.EmbedStream(iter([pb.EmbedRequest(inputs="a")]), **named("classifier"))),
         ("/embed", "classifier", {"inputs": "a"})),
    ]
    for call, (path, model, body) in cases:
        want = many.http(path, model, status=424, **body).json()["error"]
        assert refusal(call) == (wrong, want), (path, model)
    unknown = refusal(lambda: embed.Embed(pb.EmbedRequest(inputs="a"), **named("nobody")))
    assert unknown == (grpc.StatusCode.NOT_FOUND, many.http("/embed", "nobody", status=404, inputs="a").json()["error"])


def test_what_http_cannot_say(many):
    pb, invalid = many.pb, grpc.StatusCode.INVALID_ARGUMENT
    code, said = refusal(lambda: many.embed.Embed(pb.EmbedRequest(inputs="a", truncation_direction=7), timeout=60))
    assert code == invalid and "truncation_direction is 7" in said
    code, said = refusal(lambda: many.tokenize.Tokenize(pb.EncodeRequest(inputs="a" * (2 << 20)), timeout=60))
    assert code == invalid and "1048576" in said
    mixed = [pb.RerankStreamRequest(query="a", text="b"), pb.RerankStreamRequest(query="a", text="c", truncate=True)]
    code, said = refusal(lambda: many.rerank.RerankStream(iter(mixed), timeout=60))
    assert code == invalid and "message 1 has another truncate" in said
    too_many = (pb.RerankStreamRequest(text="a") for _ in range(2049))
    code, said = refusal(lambda: many.rerank.RerankStream(too_many, timeout=60))
    assert code == invalid and "2049" in said and "2048" in said


def test_broken_messages_are_refused_and_never_swallowed(many):
    """Field 1, two bytes that are not UTF-8; after a good message, so that the stream has an answer before."""
    good, broken = many.pb.EmbedRequest(inputs="a").SerializeToString(), b"\x0a\x02\xff\xfe"
    unary = many.channel.unary_unary("/tei.v1.Embed/Embed")
    code, said = refusal(lambda: unary(broken, timeout=60))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "tei.v1.EmbedRequest" in said and "UTF-8" in said
    answers = many.channel.stream_stream("/tei.v1.Embed/EmbedStream")(iter([good, broken, good]), timeout=60)
    assert many.pb.EmbedResponse.FromString(next(answers)).embeddings
    assert refusal(lambda: next(answers)) == (code, said)


def test_a_refusal_ends_a_stream_after_the_answers_before_it(tei):
    texts = ["one", "two", "word " * 400, "never answered"]
    answers = tei.embed.EmbedStream((tei.pb.EmbedRequest(inputs=text) for text in texts), timeout=60)
    assert len(next(answers).embeddings) == len(next(answers).embeddings) == 384
    code, said = refusal(lambda: next(answers))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "402" in said and "256" in said


def test_keys_are_asked_for(stubs):
    with Server("--api-key", "secret", "--log-level", "error", replicas=1) as server:
        tei = Tei(server, stubs)
        request = tei.pb.EmbedRequest(inputs="a")
        bare, rightful = {"timeout": 30}, {"timeout": 30, "metadata": [("authorization", "Bearer secret")]}
        calls = [lambda options: tei.embed.Embed(request, **options),
                 lambda options: list(tei.embed.EmbedStream(iter([request]), **options)),
                 lambda options: tei.tokenize.Tokenize(tei.pb.EncodeRequest(inputs="a"), **options),
                 lambda options: tei.info.Info(tei.pb.InfoRequest(), **options)]
        for call in calls:
            assert refusal(lambda: call(bare))[0] == grpc.StatusCode.UNAUTHENTICATED
            assert call(rightful)
        code, _ = refusal(lambda: tei.rerank.RerankStream(iter([tei.pb.RerankStreamRequest()]), **bare))
        assert code == grpc.StatusCode.UNAUTHENTICATED


# ---- health and reflection


def test_health_follows_what_the_models_are_for(many, tei):
    def serving(where):
        stub = health_pb2_grpc.HealthStub(where.channel)
        def state(name):
            return stub.Check(health_pb2.HealthCheckRequest(service="tei.v1." + name), timeout=10).status
        return {name for name in SERVICES if state(name) == health_pb2.HealthCheckResponse.SERVING}
    assert serving(many) == set(SERVICES)
    assert serving(tei) == {"Info", "Embed", "Tokenize"}


def test_reflection_shows_the_services(tei):
    pb2, stub = reflection_pb2, reflection_pb2_grpc.ServerReflectionStub(tei.channel)
    questions = [pb2.ServerReflectionRequest(list_services=""),
                 pb2.ServerReflectionRequest(file_containing_symbol="tei.v1.Embed")]
    services, file = stub.ServerReflectionInfo(iter(questions), timeout=10)
    names = {service.name for service in services.list_services_response.service}
    assert {"tei.v1." + name for name in SERVICES} <= names
    assert b"EmbedAllStream" in file.file_descriptor_response.file_descriptor_proto[0]


# ---- streams under strain


class Sender:
    """A stream's messages, counted as gRPC takes them; as many as are put in, until close()."""

    def __init__(self, messages=()):
        self.taken, self._messages = 0, queue.SimpleQueue()
        for message in messages:
            self.put(message)

    def put(self, message):
        self._messages.put(message)

    def close(self):
        self._messages.put(None)

    def __iter__(self):
        while (message := self._messages.get()) is not None:
            self.taken += 1
            yield message


def settled(value, seconds=0.5):
    """Polls until value() has not changed for a while, and gives it."""
    seen, since = value(), time.monotonic()
    end = since + 60
    while time.monotonic() - since < seconds:
        assert time.monotonic() < end, "it keeps changing"
        time.sleep(0.02)
        if value() != seen:
            seen, since = value(), time.monotonic()
    return seen


def test_a_slow_reader_holds_the_sender_back_and_loses_nothing(tei):
    """Messages of 16 KB and answers of as much, so that gRPC's own buffers hold few of either."""
    texts = [f"text {i} of many" + " " * 16_000 for i in range(2000)]
    sender = Sender(tei.pb.EmbedAllRequest(inputs=text) for text in texts)
    sender.close()
    answers = tei.embed.EmbedAllStream(iter(sender), timeout=300)
    try:
        got = [tokens_of(next(answers))]
        wait_until(lambda: tei.server.fleet()["open_requests"] == 0, 60, "an answer to all that was read")
        taken = settled(lambda: sender.taken)
        assert 256 <= taken < 1900, "the window of two replicas, and what gRPC's buffers hold"
        assert settled(lambda: tei.server.fleet()["open_requests"]) == 0
        got += [tokens_of(message) for message in answers]
    finally:
        answers.cancel()  # else a failure here would hold up the server's end
    assert sender.taken == len(got) == 2000
    for i in range(0, 2000, 100):
        np.testing.assert_allclose(got[i], tei.http("/embed_all", inputs=texts[i]).json()[0], atol=1e-4)


def test_a_stream_answers_while_it_is_sent(tei):
    sender = Sender()
    answers = tei.embed.EmbedStream(iter(sender), timeout=60)
    for text in ("one", "two", "three"):
        sender.put(tei.pb.EmbedRequest(inputs=text))
        assert len(next(answers).embeddings) == 384
    sender.close()
    assert list(answers) == [] and answers.code() == grpc.StatusCode.OK


@pytest.fixture
def slow(faulty_replica, stubs):
    """0.3 s a batch, one text of full length each."""
    with Server("--replica-program", faulty_replica, "--max-batch-tokens", "256", "--log-level", "error",
                replicas=1, environment={"SHEAF_FAULT_SLOW_US": "300000"}) as server:
        yield Tei(server, stubs)


def test_a_cancelled_stream_cancels_its_work(slow):
    before = slow.server.fleet()["open_requests"]
    texts = ["word " * 254] * 200
    answers = slow.embed.EmbedStream((slow.pb.EmbedRequest(inputs=text) for text in texts), timeout=120)
    wait_until(lambda: slow.server.fleet()["open_requests"] > before + 20, what="requests under way")
    answers.cancel()
    wait_until(lambda: slow.server.fleet()["open_requests"] == before, 5, "the stream's requests gone")
    begin = time.monotonic()
    assert slow.embed.Embed(slow.pb.EmbedRequest(inputs="next"), timeout=60).embeddings
    assert time.monotonic() - begin < 5, "the queue behind it is empty"


def test_cancelled_calls_cancel_their_work(slow):
    calls = [slow.embed.Embed.future(slow.pb.EmbedRequest(inputs="word " * 254), timeout=60) for _ in range(5)]
    wait_until(lambda: slow.server.fleet()["open_requests"] == 5, what="calls under way")
    for call in calls:
        call.cancel()
    wait_until(lambda: slow.server.fleet()["open_requests"] == 0, 5, "the calls' requests gone")


def test_a_stream_waits_where_others_are_told_to(faulty_replica, stubs):
    with Server("--replica-program", faulty_replica, "--max-batch-tokens", "256", "--queue-tokens", "512",
                "--log-level", "error", replicas=1, environment={"SHEAF_FAULT_SLOW_US": "20000"}) as server:
        tei = Tei(server, stubs)
        request = tei.pb.EmbedRequest(inputs="word " * 254)
        answers = list(tei.embed.EmbedStream(iter([request] * 15), timeout=60))
        assert [len(message.embeddings) for message in answers] == [384] * 15
        metrics = requests.get(server.http + "/metrics", timeout=10).text.splitlines()
        assert not [line for line in metrics if line.startswith("te_request_failure")], "a wait is no failure"
        assert 'te_request_count{method="single"} 15' in metrics, "however often a message had to come"


def test_a_query_passes_a_stream(slow):
    """The stream has 128 texts under way, 38 s of work."""
    texts = ["word " * 254] * 200
    answers = slow.embed.EmbedStream((slow.pb.EmbedRequest(inputs=text) for text in texts), timeout=120)
    try:
        wait_until(lambda: slow.server.fleet()["open_requests"] >= 64, what="messages under way")
        begin = time.monotonic()
        for text in ("one query", "another"):
            assert slow.embed.Embed(slow.pb.EmbedRequest(inputs=text), timeout=60).embeddings
        assert time.monotonic() - begin < 6
        assert slow.server.fleet()["open_requests"] >= 64, "the stream is still at it"
    finally:
        answers.cancel()


def test_a_deadline_ends_a_stream(slow):
    answers = slow.embed.EmbedStream((slow.pb.EmbedRequest(inputs="word " * 254) for _ in range(50)), timeout=1)
    assert refusal(lambda: list(answers))[0] == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: slow.server.fleet()["open_requests"] == 0, 5, "its requests gone")


def test_drain_answers_what_was_read_and_ends_streams(faulty_replica, stubs):
    server = Server("--replica-program", faulty_replica, "--max-batch-tokens", "256", "--log-level", "error",
                    replicas=1, environment={"SHEAF_FAULT_SLOW_US": "200000"})
    tei = Tei(server, stubs)
    request = tei.pb.EmbedRequest(inputs="word " * 254)
    open_sender, whole_sender = Sender([request] * 4), Sender([request] * 4)
    whole_sender.close()
    unfinished = tei.embed.EmbedStream(iter(open_sender), timeout=60)
    whole = tei.embed.EmbedStream(iter(whole_sender), timeout=60)
    idle = tei.embed.EmbedStream(iter(Sender()), timeout=60)
    pairs = Sender([tei.pb.RerankStreamRequest(query="a", text="b")])
    ranking = tei.rerank.RerankStream.future(iter(pairs), timeout=60)
    wait_until(lambda: server.fleet()["open_requests"] == 8, what="both streams read")
    server.terminate()
    assert refusal(lambda: list(idle)) == (grpc.StatusCode.UNAVAILABLE, "the server is shutting down")
    assert ranking.code() == grpc.StatusCode.UNAVAILABLE
    answered = 0
    with pytest.raises(grpc.RpcError) as end:
        for message in unfinished:
            answered += len(message.embeddings) == 384
    assert answered == 4 and end.value.code() == grpc.StatusCode.UNAVAILABLE
    assert len(list(whole)) == 4 and whole.code() == grpc.StatusCode.OK
    assert server.wait_exit() == 0


class StreamLoad(threading.Thread):
    """A stream that is sent `texts` in turn until stop(), at most `ahead` before they are answered: gRPC's buffers
    alone would take thousands, and answering those takes time. Notes every answer that is wrong or missing."""

    def __init__(self, tei, texts, want, ahead=400):
        super().__init__()
        self.tei, self.texts, self.want, self.ahead = tei, texts, want, ahead
        self.sent = self.answered = 0
        self.wrong = []
        self._stopped = threading.Event()

    def stop(self):
        self._stopped.set()

    def _messages(self):
        while not self._stopped.is_set():
            if self.sent - self.answered >= self.ahead:
                time.sleep(0.001)
                continue
            text = self.texts[self.sent % len(self.texts)]
            self.sent += 1
            yield self.tei.pb.EmbedRequest(inputs=text)

    def run(self):
        try:
            for message in self.tei.embed.EmbedStream(self._messages(), timeout=120):
                if not np.allclose(message.embeddings, self.want[self.answered % len(self.texts)], atol=1e-4):
                    self.wrong.append(self.answered)
                self.answered += 1
        except grpc.RpcError as error:
            self.wrong.append(error)
        if self.answered != self.sent:
            self.wrong.append(f"{self.sent} sent, {self.answered} answered")


def test_kill_9_under_streams_loses_nothing(stubs):
    texts = [f"text {i} of the load" for i in range(50)]
    with Server("--log-level", "error", replicas=2) as server:
        tei = Tei(server, stubs)
        loads = [StreamLoad(tei, texts, tei.http("/embed", inputs=texts).json()) for _ in range(2)]
        for load in loads:
            load.start()
        for _ in range(5):
            before = [load.answered for load in loads]
            os.kill(server.wait_full(2, 20)[0], signal.SIGKILL)
            wait_until(lambda: all(load.answered >= b + 100 for load, b in zip(loads, before)), 60, "answers")
        for load in loads:
            load.stop()
        for load in loads:
            load.join()
        assert [load.wrong for load in loads] == [[], []]
        assert sum(replica["restarts"] for replica in server.fleet()["replicas"]) >= 4, "replicas did die"
