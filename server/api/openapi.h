#pragma once

#include <string_view>

namespace tacit::api {

/// What the operators' listener takes and answers, as OpenAPI 3.1: openapi.json of this directory, which tests hold
/// every answer against. The bytes live as long as the program.
std::string_view OpenApiDocument();

}  // namespace tacit::api
