# What `make install` and the packages hold. scripts/package.sh makes the packages.
include(GNUInstallDirs)

# The .tar.gz brings its libraries in lib/sheaf. RPATH rather than RUNPATH: it also holds for libraries that need
# libraries. Elsewhere the folder does not exist and the system's are used.
foreach(program sheaf sheaf-replica sheaf-replica-cuda)
  if(TARGET ${program})
    set_target_properties(${program} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib/sheaf")
    target_link_options(${program} PRIVATE -Wl,--disable-new-dtags)
  endif()
endforeach()
install(TARGETS sheaf sheaf-replica RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET sheaf-replica-cuda)  # scripts/package_cuda.sh
  install(TARGETS sheaf-replica-cuda RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cuda EXCLUDE_FROM_ALL)
  install(FILES ${SHEAF_CUBLASLT} DESTINATION lib/sheaf COMPONENT cuda EXCLUDE_FROM_ALL)
endif()
install(FILES README.md ARCHITECTURE.md DESTINATION ${CMAKE_INSTALL_DOCDIR} OPTIONAL)
# As in the repository, so that the README's links lead somewhere.
install(FILES docs/interfaces.md docs/models.md docs/adding-a-model.md docs/cpu.md docs/cuda.md docs/plan.md docs/serving.md
        docs/slices.md docs/tokenizers.md
        DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs OPTIONAL)
install(FILES deploy/sheaf.yaml DESTINATION ${CMAKE_INSTALL_DOCDIR}/deploy OPTIONAL)

# Of what is compiled in and is not ours.
foreach(package libboost1.81-dev nlohmann-json3-dev)
  install(FILES /usr/share/doc/${package}/copyright DESTINATION ${CMAKE_INSTALL_DOCDIR}/licenses RENAME ${package}
          OPTIONAL)
endforeach()

# The unit names the program by its whole path, which is known when the prefix is: at installation.
install(CODE "
  set(bin_folder \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  set(doc_folder \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DOCDIR}\")
  configure_file(${CMAKE_SOURCE_DIR}/deploy/sheaf.service.in ${CMAKE_BINARY_DIR}/sheaf.service @ONLY)
  configure_file(${CMAKE_SOURCE_DIR}/deploy/sheaf-slices.service.in ${CMAKE_BINARY_DIR}/sheaf-slices.service @ONLY)
  file(INSTALL ${CMAKE_BINARY_DIR}/sheaf.service ${CMAKE_BINARY_DIR}/sheaf-slices.service DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\")
")

# The configuration in force belongs to the machine: packages bring it as a conffile, `make install` does not touch it.
install(FILES deploy/sheaf.yaml DESTINATION /etc/sheaf COMPONENT configuration EXCLUDE_FROM_ALL OPTIONAL)

set(CPACK_PACKAGE_NAME sheaf)
set(CPACK_PACKAGE_VENDOR "The sheaf developers")
set(CPACK_PACKAGE_CONTACT "The sheaf developers <sheaf@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Serves embedding models from many replicas behind one endpoint")
string(CONCAT CPACK_PACKAGE_DESCRIPTION
       "sheaf packs many copies of an embedding model onto the processor cores of a machine, serves them behind "
       "one HTTP and gRPC endpoint, and loses no request when one of them dies.")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_BINARY_DIR}/../package)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL Unspecified configuration)
set(CPACK_COMPONENTS_GROUPING ALL_COMPONENTS_IN_ONE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS ca-certificates)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/debian/conffiles
    ${CMAKE_SOURCE_DIR}/deploy/debian/postinst ${CMAKE_SOURCE_DIR}/deploy/debian/prerm)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
