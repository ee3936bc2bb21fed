# cmake -DINPUT=file -DOUTPUT=file.cc -DHEADER=its/header.h -DFUNCTION=tacit::api::Name -P Embed.cmake
# Writes a source with the function, which returns the bytes of the file as a std::string_view.
file(READ "${INPUT}" bytes HEX)
string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "(................................................................................)" "\\1\n"
  bytes "${bytes}")
string(REGEX MATCH "^(.*)::([^:]*)$" ignored "${FUNCTION}")
file(WRITE "${OUTPUT}" "#include \"${HEADER}\"

namespace ${CMAKE_MATCH_1} {

std::string_view ${CMAKE_MATCH_2}() {
  static constexpr unsigned char kBytes[] = {
${bytes}};
  return {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)};
}

}  // namespace ${CMAKE_MATCH_1}
")
