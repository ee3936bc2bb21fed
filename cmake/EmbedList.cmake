# cmake -DLIST=files.txt -DOUTPUT=file.cc -DHEADER=its/header.h -DFUNCTION=tacit::part::Name -P EmbedList.cmake
# Writes a source with the function, which returns a std::span of `File`, that the header declares: of each line of the
# list, "path file media type", the path, the media type and the bytes of the file beside the list.
get_filename_component(directory "${LIST}" DIRECTORY)
file(STRINGS "${LIST}" lines)
string(REGEX MATCH "^(.*)::([^:]*)$" ignored "${FUNCTION}")
set(namespace "${CMAKE_MATCH_1}")
set(name "${CMAKE_MATCH_2}")
set(arrays "")
set(rows "")
set(number 0)
foreach(line IN LISTS lines)
  # A ';' in a line would be taken for the end of an element: it stands escaped in what file(STRINGS) gives.
  string(REGEX MATCH "^([^ ]+) ([^ ]+) (.+)$" matched "${line}")
  if(NOT matched)
    message(FATAL_ERROR "${LIST}: '${line}' is no 'path file media type'")
  endif()
  set(path "${CMAKE_MATCH_1}")
  set(file "${CMAKE_MATCH_2}")
  set(media_type "${CMAKE_MATCH_3}")
  file(READ "${directory}/${file}" bytes HEX)
  string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
  string(REGEX REPLACE "(................................................................................)" "\\1\n"
    bytes "${bytes}")
  string(APPEND arrays "constexpr unsigned char kBytes${number}[] = {\n${bytes}};\n")
  string(APPEND rows "      {\"${path}\", \"${media_type}\",\n"
    "       {reinterpret_cast<const char*>(kBytes${number}), sizeof(kBytes${number})}},\n")
  math(EXPR number "${number} + 1")
endforeach()
file(WRITE "${OUTPUT}" "#include \"${HEADER}\"

namespace ${namespace} {
namespace {

${arrays}
}  // namespace

std::span<const File> ${name}() {
  static const File kFiles[] = {
${rows}  };
  return kFiles;
}

}  // namespace ${namespace}
")
