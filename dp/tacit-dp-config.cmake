# find_package(tacit-dp) gives tacit::dp.
include("${CMAKE_CURRENT_LIST_DIR}/tacit-dp-targets.cmake")
# The archive holds objects of common/base, whose digests come from libxxhash (Debian: libxxhash-dev).
set_property(TARGET tacit::dp APPEND PROPERTY INTERFACE_LINK_LIBRARIES xxhash)
