"""A Python client made from proto/arctic.proto at test time; health and both reflections."""

import struct

import grpc
import numpy as np
import pytest
import requests
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as alpha_pb2
from grpc_reflection.v1alpha import reflection_pb2_grpc as alpha_grpc

from sheaf_server import MODEL

SERVICE = "arctic_inference.InferenceService"


@pytest.fixture(scope="module")
def channel(server):
    options = [("grpc.max_receive_message_length", 200 << 20),
               ("grpc.max_send_message_length", 200 << 20)]
    with grpc.insecure_channel(server.grpc, options=options) as channel:
        yield channel


@pytest.fixture(scope="module")
def arctic(channel, stubs):
    return stubs["arctic_pb2_grpc"].InferenceServiceStub(channel)


def encode(arctic, stubs, prompts=(), ids=(), **fields):
    request = stubs["arctic_pb2"].EncodeRequest(
        **({"request_id": "r", "n_prompts": len(ids) or len(prompts), "prompts": prompts,
            "token_id_bytes_i32": [struct.pack(f"<{len(i)}i", *i) for i in ids],
            "model_name": MODEL} | fields))
    return arctic.Encode(request, timeout=30)


def vectors(response):
    assert response.error == ""
    rows = [np.frombuffer(b, "<f4") for b in response.embedding_bytes_fp32]
    assert response.n_prompts == len(rows)
    assert all(len(row) == response.embedding_dim for row in rows)
    return np.stack(rows)


def test_same_vectors_as_http(arctic, stubs, server):
    texts = ["hello world", "", "Größe 東京 🚀"]
    got = vectors(encode(arctic, stubs, texts))
    http = [d["embedding"] for d in server.embed(texts).json()["data"]]
    np.testing.assert_allclose(got, http, atol=1e-5)


def test_token_ids_are_final_and_win_over_prompts(arctic, stubs):
    ids = encode(arctic, stubs, ["ignored"], [[101, 7592, 2088, 102]], n_prompts=1)
    text = encode(arctic, stubs, ["Hello world"])
    np.testing.assert_allclose(vectors(ids), vectors(text), atol=1e-6)


def test_16_prompts_and_an_empty_request_id(arctic, stubs):
    response = encode(arctic, stubs, [f"prompt {i}" for i in range(16)], request_id="")
    assert vectors(response).shape == (16, 384)
    assert response.request_id


def test_a_large_reply_passes(arctic, stubs):
    response = encode(arctic, stubs, ["a"] * 2048)
    assert vectors(response).shape == (2048, 384)


@pytest.mark.parametrize("fields, said", [
    ({"n_prompts": 3}, "3"), ({"model_name": "org/wrong"}, "org/wrong")])
def test_wrong_requests_are_answered_in_band(arctic, stubs, fields, said):
    response = encode(arctic, stubs, ["a", "b"], **fields)
    assert said in response.error and not response.embedding_bytes_fp32


def test_ids_outside_the_vocabulary_and_broken_ids(arctic, stubs):
    assert "30522" in encode(arctic, stubs, ids=[[101, 30522, 102]]).error
    assert encode(arctic, stubs, ids=[[-1]]).error
    request = stubs["arctic_pb2"].EncodeRequest(n_prompts=1, token_id_bytes_i32=[b"abc"],
                                                model_name=MODEL)
    assert arctic.Encode(request, timeout=10).error


def test_empty_model_name_is_the_default_model(arctic, stubs):
    assert vectors(encode(arctic, stubs, ["x"], model_name="")).shape == (1, 384)


def test_replica_info_and_health_check(arctic, stubs):
    pb2 = stubs["arctic_pb2"]
    info = arctic.GetReplicaInfo(pb2.ReplicaInfoRequest(), timeout=10)
    assert info.n_replicas == len(info.replica_infos) == 2
    assert info.n_healthy_replicas == 2
    assert info.replica_infos[0].model_name == MODEL
    assert arctic.HealthCheck(pb2.HealthCheckRequest(), timeout=10).healthy


def test_abort_of_nothing_says_so(arctic, stubs):
    answer = arctic.Abort(stubs["arctic_pb2"].AbortRequest(request_id="nothing"), timeout=10)
    assert not answer.success and answer.message


def test_a_deadline_is_a_deadline(arctic, stubs):
    request = stubs["arctic_pb2"].EncodeRequest(n_prompts=2048, prompts=["word " * 250] * 2048,
                                                model_name=MODEL)
    with pytest.raises(grpc.RpcError) as error:
        arctic.Encode(request, timeout=0.3)
    assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("service", ["", SERVICE])
def test_standard_health(channel, service):
    stub = health_pb2_grpc.HealthStub(channel)
    answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_health_of_an_unknown_service_is_not_found(channel):
    with pytest.raises(grpc.RpcError) as error:
        health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="nothing"), timeout=10)
    assert error.value.code() == grpc.StatusCode.NOT_FOUND


def reflection_of(version, channel, stubs):
    if version == "v1alpha":
        return alpha_pb2, alpha_grpc.ServerReflectionStub(channel)
    name = "reflection_v1_pb2"
    return stubs[name], stubs[name + "_grpc"].ServerReflectionStub(channel)


@pytest.mark.parametrize("version", ["v1alpha", "v1"])
def test_reflection(version, channel, stubs):
    pb2, stub = reflection_of(version, channel, stubs)
    requests_ = [pb2.ServerReflectionRequest(list_services=""),
                 pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
                 pb2.ServerReflectionRequest(file_by_filename="arctic.proto"),
                 pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing")]
    answers = list(stub.ServerReflectionInfo(iter(requests_), timeout=10))
    names = {s.name for s in answers[0].list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"} <= names
    assert b"EncodeRequest" in answers[1].file_descriptor_response.file_descriptor_proto[0]
    assert b"EncodeRequest" in answers[2].file_descriptor_response.file_descriptor_proto[0]
    assert answers[3].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_http_and_grpc_share_their_metrics(arctic, stubs, server):
    def count():
        text = requests.get(server.http + "/metrics", timeout=10).text
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith("te_request_success{"))
    before = count()
    encode(arctic, stubs, ["x"])
    assert count() == before + 1
