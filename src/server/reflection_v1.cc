#include "server/reflection_v1.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <grpcpp/server_context.h>

#include <unordered_set>

#include "health.pb.h"
#include "reflection_v1.grpc.pb.h"

namespace sheaf::server {
namespace {

namespace pb = grpc::reflection::v1;
using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

void set_error(pb::ServerReflectionResponse& out, grpc::StatusCode code, std::string message) {
  out.mutable_error_response()->set_error_code(code);
  out.mutable_error_response()->set_error_message(std::move(message));
}

// A file and all that it imports, each once.
void add_files(const FileDescriptor& file, std::unordered_set<const FileDescriptor*>& seen,
               pb::FileDescriptorResponse& out) {
  if (!seen.insert(&file).second) return;
  google::protobuf::FileDescriptorProto proto;
  file.CopyTo(&proto);
  proto.SerializeToString(out.add_file_descriptor_proto());
  for (int i = 0; i < file.dependency_count(); ++i) add_files(*file.dependency(i), seen, out);
}

void answer_file(const FileDescriptor* file, const std::string& name,
                 pb::ServerReflectionResponse& out) {
  if (file == nullptr) return set_error(out, grpc::NOT_FOUND, "unknown: " + name);
  std::unordered_set<const FileDescriptor*> seen;
  add_files(*file, seen, *out.mutable_file_descriptor_response());
}

void answer_extension(const DescriptorPool& pool, const pb::ExtensionRequest& in,
                      pb::ServerReflectionResponse& out) {
  const auto* type = pool.FindMessageTypeByName(in.containing_type());
  const auto* extension =
      type == nullptr ? nullptr : pool.FindExtensionByNumber(type, in.extension_number());
  answer_file(extension == nullptr ? nullptr : extension->file(), in.containing_type(), out);
}

void answer_extension_numbers(const DescriptorPool& pool, const std::string& name,
                              pb::ServerReflectionResponse& out) {
  const auto* type = pool.FindMessageTypeByName(name);
  if (type == nullptr) return set_error(out, grpc::NOT_FOUND, "unknown type: " + name);
  std::vector<const google::protobuf::FieldDescriptor*> extensions;
  pool.FindAllExtensions(type, &extensions);
  auto& numbers = *out.mutable_all_extension_numbers_response();
  numbers.set_base_type_name(name);
  for (const auto* extension : extensions) numbers.add_extension_number(extension->number());
}

void answer(const pb::ServerReflectionRequest& in, const std::vector<std::string>& services,
            pb::ServerReflectionResponse& out) {
  out.Clear();
  out.set_valid_host(in.host());
  *out.mutable_original_request() = in;
  const DescriptorPool& pool = *DescriptorPool::generated_pool();
  switch (in.message_request_case()) {
    case pb::ServerReflectionRequest::kFileByFilename:
      return answer_file(pool.FindFileByName(in.file_by_filename()), in.file_by_filename(), out);
    case pb::ServerReflectionRequest::kFileContainingSymbol:
      return answer_file(pool.FindFileContainingSymbol(in.file_containing_symbol()),
                         in.file_containing_symbol(), out);
    case pb::ServerReflectionRequest::kFileContainingExtension:
      return answer_extension(pool, in.file_containing_extension(), out);
    case pb::ServerReflectionRequest::kAllExtensionNumbersOfType:
      return answer_extension_numbers(pool, in.all_extension_numbers_of_type(), out);
    case pb::ServerReflectionRequest::kListServices:
      for (const std::string& name : services) {
        out.mutable_list_services_response()->add_service()->set_name(name);
      }
      return;
    case pb::ServerReflectionRequest::MESSAGE_REQUEST_NOT_SET:
      return set_error(out, grpc::INVALID_ARGUMENT, "the request asks nothing");
  }
}

// One stream: reads a question, writes its answer, and again. Deletes itself in OnDone, as the
// callback API asks.
class Stream final
    : public grpc::ServerBidiReactor<pb::ServerReflectionRequest, pb::ServerReflectionResponse> {
 public:
  explicit Stream(const std::vector<std::string>& services) : services_(services) {
    StartRead(&in_);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    answer(in_, services_, out_);
    StartWrite(&out_);
  }
  void OnWriteDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::CANCELLED);
    StartRead(&in_);
  }
  void OnDone() override { delete this; }

 private:
  const std::vector<std::string>& services_;
  pb::ServerReflectionRequest in_;
  pb::ServerReflectionResponse out_;
};

class Service final : public pb::ServerReflection::CallbackService {
 public:
  explicit Service(std::vector<std::string> services) : services_(std::move(services)) {}
  grpc::ServerBidiReactor<pb::ServerReflectionRequest, pb::ServerReflectionResponse>*
  ServerReflectionInfo(grpc::CallbackServerContext*) override {
    return new Stream(services_);
  }

 private:
  const std::vector<std::string> services_;
};

}  // namespace

std::unique_ptr<grpc::Service> make_reflection_v1(std::vector<std::string> services) {
  // Named so that the linker keeps health.proto's descriptors, which nothing else uses.
  grpc::health::v1::HealthCheckRequest::descriptor();
  return std::make_unique<Service>(std::move(services));
}

}  // namespace sheaf::server
