"""Asks a running server, by both reflection services, what it serves; then calls it with what it learnt.

Usage: reflection_client.py HOST:PORT. Needs grpcio, grpcio-reflection and grpcio-health-checking, which know v1alpha;
v1 has the same messages under another name, so its method is called directly.
"""
import struct
import sys

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

ARCTIC = "arctic_inference.InferenceService"
SERVICES = {ARCTIC, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"}


def ask(channel, version, requests):
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString)
    return list(call(iter(requests), timeout=10))


def check_reflection(channel, version):
    listing, arctic, health, unknown = ask(channel, version, [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=ARCTIC),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
    ])
    names = {service.name for service in listing.list_services_response.service}
    assert SERVICES <= names, (version, names)
    assert arctic.file_descriptor_response.file_descriptor_proto, version
    assert health.file_descriptor_response.file_descriptor_proto, version
    assert unknown.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0], version


def check_encode(channel):
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    encode = pool.FindServiceByName(ARCTIC).FindMethodByName("Encode")
    request_class = message_factory.GetMessageClass(encode.input_type)
    response_class = message_factory.GetMessageClass(encode.output_type)
    call = channel.unary_unary(f"/{ARCTIC}/Encode", request_serializer=request_class.SerializeToString,
                               response_deserializer=response_class.FromString)
    response = call(request_class(n_prompts=2, prompts=["a", "b"]), timeout=10)
    assert not response.error, response.error
    assert response.n_prompts == 2 and len(response.embedding_bytes_fp32) == 2
    assert len(struct.unpack(f"<{response.embedding_dim}f", response.embedding_bytes_fp32[0])) == response.embedding_dim


def check_health(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    for service in SERVICES | {""}:
        status = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status
        assert status == health_pb2.HealthCheckResponse.SERVING, (service, status)


def main():
    with grpc.insecure_channel(sys.argv[1]) as channel:
        for version in ("v1", "v1alpha"):
            check_reflection(channel, version)
        check_encode(channel)
        check_health(channel)


main()
