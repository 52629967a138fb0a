# Boost::asio: Asio with what is no template compiled once, here, instead of in each source that includes it.

file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/asio/asio.cc CONTENT "#include <boost/asio/impl/src.hpp>\n")
file(GENERATE OUTPUT ${CMAKE_BINARY_DIR}/asio/ssl.cc CONTENT "#include <boost/asio/ssl/impl/src.hpp>\n")
add_library(boost_asio STATIC ${CMAKE_BINARY_DIR}/asio/asio.cc ${CMAKE_BINARY_DIR}/asio/ssl.cc)
target_compile_definitions(boost_asio PUBLIC BOOST_ASIO_SEPARATE_COMPILATION)
target_link_libraries(boost_asio PUBLIC Boost::headers Threads::Threads OpenSSL::SSL)
add_library(Boost::asio ALIAS boost_asio)
