# libsheaf-nvml-sim.so: the simulated NVML as a library that sheaf, and anybody else's tool, opens as the real one. It
# exports NVML's symbols and nothing else.
add_library(sheaf-nvml-sim SHARED $<TARGET_OBJECTS:sheaf_slices_nvml_simulation>)
target_link_libraries(sheaf-nvml-sim PRIVATE sheaf::slices)
target_link_options(sheaf-nvml-sim PRIVATE
                    -Wl,--version-script=${CMAKE_SOURCE_DIR}/src/slices/nvml_simulation/exports.map)
set_target_properties(sheaf-nvml-sim PROPERTIES LINKER_LANGUAGE CXX
                                                LIBRARY_OUTPUT_DIRECTORY ${CMAKE_RUNTIME_OUTPUT_DIRECTORY})
if(TARGET slices_nvml_simulation_test)
  add_dependencies(slices_nvml_simulation_test sheaf-nvml-sim)
endif()
