# Every target is made here, so every target gets the same options.

# tacit_library(NAME [WAITS] [PARSES] SOURCES a.cc ... HEADERS a.h ... [DEPS targets ...] [PRIVATE_DEPS targets ...])
# WAITS: its work is to wait for others, so an instrumented build takes longer to optimise it than its tests gain by it.
# PARSES: a target of tests/fuzz gives it foreign bytes, so a search is guided through it (cmake/TacitToolchain.cmake).
function(tacit_library name)
  cmake_parse_arguments(ARG "WAITS;PARSES" "" "SOURCES;HEADERS;DEPS;PRIVATE_DEPS" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "tacit_library(${name}): unexpected ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  if(ARG_SOURCES)
    add_library(${name} STATIC ${ARG_SOURCES} ${ARG_HEADERS})
    target_link_libraries(${name} PUBLIC tacit_options ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
    if(ARG_WAITS AND TACIT_SANITIZE)
      set_target_properties(${name} PROPERTIES TACIT_UNOPTIMISED ON)
    endif()
    if(ARG_PARSES)
      set_target_properties(${name} PROPERTIES TACIT_PARSES ON)
    endif()
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE tacit_options ${ARG_DEPS})
  endif()
endfunction()

# tacit_executable(NAME SOURCES a.cc ... [DEPS targets ...])
function(tacit_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE tacit_options ${ARG_DEPS})
  target_link_options(${name} PRIVATE -pie)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
endfunction()

# tacit_embed(TARGET FILE HEADER FUNCTION): compiles a file beside the CMakeLists.txt into the target; FUNCTION
# (namespace::Name, declared in HEADER, as the repository names it) returns its bytes as a std::string_view.
function(tacit_embed target file header function)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${file}.cc")
  add_custom_command(OUTPUT "${source}"
    COMMAND "${CMAKE_COMMAND}" "-DINPUT=${CMAKE_CURRENT_SOURCE_DIR}/${file}" "-DOUTPUT=${source}" "-DHEADER=${header}"
      "-DFUNCTION=${function}" -P "${PROJECT_SOURCE_DIR}/cmake/Embed.cmake"
    DEPENDS "${file}" "${PROJECT_SOURCE_DIR}/cmake/Embed.cmake"
    VERBATIM)
  target_sources(${target} PRIVATE "${source}")
endfunction()

# tacit_embed_list(TARGET LIST HEADER FUNCTION): compiles the files that LIST names, beside it, into the target; each of
# its lines is "path file media type". FUNCTION, declared in HEADER, returns them as a std::span<const File>.
function(tacit_embed_list target list header function)
  get_filename_component(name "${list}" NAME)
  get_filename_component(directory "${CMAKE_CURRENT_SOURCE_DIR}/${list}" DIRECTORY)
  set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}.cc")
  # Read when the build is configured, for what the source depends on; a list that changes configures it again.
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${list}")
  file(STRINGS "${list}" lines)
  set(files "")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[^ ]+ ([^ ]+) .*$" "\\1" file "${line}")
    list(APPEND files "${directory}/${file}")
  endforeach()
  add_custom_command(OUTPUT "${source}"
    COMMAND "${CMAKE_COMMAND}" "-DLIST=${CMAKE_CURRENT_SOURCE_DIR}/${list}" "-DOUTPUT=${source}" "-DHEADER=${header}"
      "-DFUNCTION=${function}" -P "${PROJECT_SOURCE_DIR}/cmake/EmbedList.cmake"
    DEPENDS "${list}" ${files} "${PROJECT_SOURCE_DIR}/cmake/EmbedList.cmake"
    VERBATIM)
  target_sources(${target} PRIVATE "${source}")
endfunction()
