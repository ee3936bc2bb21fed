#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

#include "common/base/result.h"
#include "common/web/web_client.h"

namespace tacit::telemetry {

/// Headers of a request, `Name: value`, one a line; empty lines and those that begin with '#' are skipped. Where a
/// secret is, such as `Authorization: Bearer ...`.
/// Errors: kInvalidArgument, naming the line and never what stands in it.
Result<std::vector<web::WebHeader>> ParseHeaders(std::string_view text);

/// The same from a file that gives nothing to users who are neither its owner nor of its group.
/// Errors: those of reading it; kPermissionDenied; those of ParseHeaders, with the path.
Result<std::vector<web::WebHeader>> ReadHeadersFile(const std::filesystem::path& path);

}  // namespace tacit::telemetry
