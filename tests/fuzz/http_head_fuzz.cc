#include "common/net/http_head.h"
#include "tests/fuzz/fuzz.h"

namespace {

bool Printable(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return false;
  }
  return true;
}

/// Looking for the end in steps finds what looking once finds.
void CheckSearch(std::string_view text, std::size_t step) {
  const auto whole = tacit::net::FindHeadEnd(text);
  std::size_t searched = 0;
  for (std::size_t seen = 0; seen <= text.size(); seen += step) {
    const auto end = tacit::net::FindHeadEnd(text.substr(0, seen), searched);
    if (!end) {
      TACIT_CHECK(!whole.has_value() || *whole < seen, "a fault is one however the bytes arrive");
      return;
    }
    if (*end != 0) {
      TACIT_CHECK(whole.has_value() && *end == *whole, "the head ends where it ends");
      return;
    }
    searched = seen;
  }
}

void CheckRequest(std::string_view text) {
  const auto head = tacit::net::ParseRequestHead(text);
  if (!head) {
    TACIT_CHECK(head.error().status >= 400 && head.error().status <= 505, "a refusal has a status");
    return;
  }
  TACIT_CHECK(text.ends_with("\r\n\r\n"), "a head is read whole or not at all");
  TACIT_CHECK(head->path == "*" || head->path.starts_with('/'), "a path begins at the root");
  TACIT_CHECK(Printable(head->path) && Printable(head->method), "method and path can be logged");
  TACIT_CHECK((head->path + "/").find("/../") == std::string::npos, "a path goes nowhere else");
  TACIT_CHECK(!head->Header("transfer-encoding"), "the length of a body has one source");
  TACIT_CHECK(!head->expects_continue || head->content_length.value_or(0) > 0, "100 is for a body");
  for (const auto& [name, value] : head->headers) {
    TACIT_CHECK(Printable(name) && !name.empty(), "a header has a name");
    TACIT_CHECK(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, "a header is one line");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = tacit::AsText({data, size});
  CheckSearch(text, size == 0 ? 1 : 1 + data[size - 1] % 16);
  CheckRequest(text);
  const auto answer = tacit::net::ParseResponseHead(text);
  if (answer) TACIT_CHECK(answer->status >= 100 && answer->status <= 599, "a status is one of HTTP");
  return 0;
}
