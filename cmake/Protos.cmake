# proto/*.proto become one library, sheaf::proto (messages and gRPC services).
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
file(GLOB protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(out ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${out})
set(generated)
foreach(proto ${protos})
  get_filename_component(stem ${proto} NAME_WE)
  set(files ${out}/${stem}.pb.cc ${out}/${stem}.pb.h ${out}/${stem}.grpc.pb.cc ${out}/${stem}.grpc.pb.h)
  add_custom_command(OUTPUT ${files}
    COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/proto --cpp_out=${out} --grpc_out=${out}
            --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} ${proto}
    DEPENDS ${proto} VERBATIM)
  list(APPEND generated ${files})
endforeach()
# Code that no one reads or steps through: quick to compile. Its checks took a minute more than all of its work.
set(generated_flags -O1 -g0)
if(SHEAF_SANITIZE MATCHES "address" OR SHEAF_FUZZ)
  list(APPEND generated_flags -fno-sanitize=all)
endif()
set_source_files_properties(${generated} PROPERTIES COMPILE_OPTIONS "${generated_flags}")
add_library(sheaf_proto STATIC ${generated})
target_include_directories(sheaf_proto SYSTEM PUBLIC ${out})
target_link_libraries(sheaf_proto PUBLIC gRPC::grpc++ protobuf::libprotobuf)
add_library(sheaf::proto ALIAS sheaf_proto)
