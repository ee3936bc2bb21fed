#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace tacit {

/// What kind of thing went wrong: decides the HTTP status, the problem type and the metric label together.
enum class ErrorCode : std::uint8_t {
  kInvalidArgument,   ///< A value breaks a documented rule; sending it again cannot help.
  kMalformed,         ///< Bytes that do not parse.
  kUnauthenticated,   ///< No identity, or one that cannot be believed.
  kPermissionDenied,  ///< A known identity whose role does not allow this.
  kNotFound,          ///< The named thing does not exist.
  kConflict,          ///< Contradicts what is already recorded.
  kGone,              ///< Was possible and is over (a closed round, a used token).
  kChanged,           ///< Was asked for under a condition that does not hold any more.
  kTooLarge,          ///< Over an announced size limit; nothing was read beyond it.
  kBudgetExhausted,   ///< Would spend more privacy than the policy allows.
  kRateLimited,       ///< Too many attempts; a later one may pass.
  kUnavailable,       ///< A passing fault here or on the network; try again later.
  kDeadlineExceeded,  ///< Took longer than its deadline.
  kDataLoss,          ///< Stored state contradicts itself; a person must look.
  kInternal,          ///< A fault of ours that is none of the above.
};

struct ErrorCodeTraits {
  ErrorCode code;
  std::string_view name;  ///< Stable, `snake_case`: the problem's `code`, the metric label, the `--json` code.
  int http_status;
  std::string_view title;
};

/// The one table behind every way an error is shown.
inline constexpr std::array<ErrorCodeTraits, 15> kErrorCodes{{
    {ErrorCode::kInvalidArgument, "invalid_argument", 422, "A value is not allowed"},
    {ErrorCode::kMalformed, "malformed", 400, "The bytes do not parse"},
    {ErrorCode::kUnauthenticated, "unauthenticated", 401, "No believable identity"},
    {ErrorCode::kPermissionDenied, "permission_denied", 403, "This identity may not do this"},
    {ErrorCode::kNotFound, "not_found", 404, "No such thing"},
    {ErrorCode::kConflict, "conflict", 409, "Contradicts what is recorded"},
    {ErrorCode::kGone, "gone", 410, "No longer possible"},
    {ErrorCode::kChanged, "changed", 412, "Has changed meanwhile"},
    {ErrorCode::kTooLarge, "too_large", 413, "Over the size limit"},
    {ErrorCode::kBudgetExhausted, "budget_exhausted", 409, "The privacy budget does not allow it"},
    {ErrorCode::kRateLimited, "rate_limited", 429, "Too many attempts"},
    {ErrorCode::kUnavailable, "unavailable", 503, "Not possible right now"},
    {ErrorCode::kDeadlineExceeded, "deadline_exceeded", 408, "Took too long"},
    {ErrorCode::kDataLoss, "data_loss", 500, "Stored state contradicts itself"},
    {ErrorCode::kInternal, "internal", 500, "A fault of the server"},
}};

/// The row of `kErrorCodes` for `code`.
constexpr const ErrorCodeTraits& TraitsOf(ErrorCode code) {
  return kErrorCodes[static_cast<std::size_t>(code)];
}

/// A failure that the environment or a caller can cause: what was wrong, where, and what to do.
struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  /// The field at fault where it is one of a request: a JSON Pointer into its body as a URI fragment (`#/uses`, RFC
  /// 6901 section 6), or a parameter of its query (`?limit`).
  std::string field = {};
};

template <typename T>
using Result = std::expected<T, Error>;

/// Makes the failing half of a `Result`.
inline std::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

/// The same result, any failure of it being the fault of `field` of a request.
template <typename T>
Result<T> At(std::string field, Result<T> result) {
  if (!result) result.error().field = std::move(field);
  return result;
}
inline std::unexpected<Error> FailAt(std::string field, ErrorCode code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message), std::move(field)});
}

/// The same failure with `context` (what was being done) in front of its message.
inline std::unexpected<Error> Annotate(const Error& error, std::string_view context) {
  return FailAt(error.field, error.code, std::string(context) + ": " + error.message);
}

}  // namespace tacit

// A declaration and a statement's keyword cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define TACIT_RESULT_CONCAT_(a, b) a##b
#define TACIT_RESULT_NAME_(a, b) TACIT_RESULT_CONCAT_(a, b)

/// `TACIT_TRY(auto x, F());` declares x from F()'s value, or returns F()'s error. For coroutines: TACIT_CO_TRY.
#define TACIT_TRY(declaration, expression) \
  TACIT_TRY_(declaration, expression, TACIT_RESULT_NAME_(result_, __LINE__), return)
#define TACIT_CO_TRY(declaration, expression) \
  TACIT_TRY_(declaration, expression, TACIT_RESULT_NAME_(result_, __LINE__), co_return)
#define TACIT_TRY_(declaration, expression, name, leave)                     \
  auto name = (expression);                                                  \
  if (!name) leave std::unexpected<::tacit::Error>(std::move(name).error()); \
  declaration = *std::move(name)

/// Returns the error of a `Result<void>` (or of one whose value is not wanted), or goes on.
#define TACIT_TRY_VOID(expression)                                                                                 \
  do {                                                                                                             \
    if (auto result_ = (expression); !result_) return std::unexpected<::tacit::Error>(std::move(result_).error()); \
  } while (false)
#define TACIT_CO_TRY_VOID(expression)                                                                                 \
  do {                                                                                                                \
    if (auto result_ = (expression); !result_) co_return std::unexpected<::tacit::Error>(std::move(result_).error()); \
  } while (false)
// NOLINTEND(bugprone-macro-parentheses)
