#include "proto/codec/enrolment.h"

#include <utility>

#include "proto/codec/fields.h"
#include "proto/codec/wire.h"
#include "tacit/v1/enrolment.pb.h"

namespace tacit::codec {
namespace {

Result<std::string> ParsePem(std::string_view field, std::string&& text, std::size_t max_bytes) {
  TACIT_TRY_VOID(CheckText(field, text, {.min_bytes = 1, .max_bytes = max_bytes}));
  return std::move(text);
}

Result<std::optional<DeviceId>> ParseLabel(std::string_view text) {
  if (text.empty()) return std::nullopt;
  auto label = DeviceId::Parse(text);
  if (!label) return Annotate(label.error(), "label");
  return *std::move(label);
}

}  // namespace

std::optional<DeviceId> NameInToken(std::string_view token) {
  const std::size_t dot = token.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  auto name = DeviceId::Parse(token.substr(dot + 1));
  return name ? std::optional(*std::move(name)) : std::nullopt;
}

Bytes Encode(const EnrolRequest& request) {
  v1::EnrolRequest message;
  message.set_token(request.token);
  message.set_csr_pem(request.csr_pem);
  if (request.label) message.set_label(request.label->str());
  return SerializeMessage(message);
}

Bytes Encode(const EnrolReply& reply) {
  v1::EnrolResponse message;
  message.set_device(reply.device.str());
  message.set_certificate_chain_pem(reply.certificate_chain_pem);
  message.set_ca_pem(reply.ca_pem);
  message.set_agents_host(reply.agents_host);
  message.set_agents_port(reply.agents_port);
  return SerializeMessage(message);
}

Bytes Encode(const RenewRequest& request) {
  v1::RenewRequest message;
  message.set_csr_pem(request.csr_pem);
  return SerializeMessage(message);
}

Bytes Encode(const RenewReply& reply) {
  v1::RenewResponse message;
  message.set_certificate_chain_pem(reply.certificate_chain_pem);
  return SerializeMessage(message);
}

Result<EnrolRequest> ParseEnrolRequest(ByteSpan bytes) {
  v1::EnrolRequest message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxEnrolRequestBytes, "an enrolment request", message));
  TACIT_TRY_VOID(CheckText("token", message.token(),
                           {.min_bytes = 1, .max_bytes = kMaxTokenBytes, .token_characters_only = true}));
  TACIT_TRY(auto csr, ParsePem("csr_pem", std::move(*message.mutable_csr_pem()), kMaxCsrPemBytes));
  TACIT_TRY(auto label, ParseLabel(message.label()));
  return EnrolRequest{.token = message.token(), .csr_pem = std::move(csr), .label = std::move(label)};
}

Result<EnrolReply> ParseEnrolReply(ByteSpan bytes) {
  v1::EnrolResponse message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxEnrolReplyBytes, "an enrolment reply", message));
  TACIT_TRY(auto device, DeviceId::Parse(message.device()));
  TACIT_TRY(auto chain, ParsePem("certificate_chain_pem", std::move(*message.mutable_certificate_chain_pem()),
                                 kMaxCertificateChainPemBytes));
  TACIT_TRY(auto ca, ParsePem("ca_pem", std::move(*message.mutable_ca_pem()), kMaxCaPemBytes));
  TACIT_TRY_VOID(
      CheckText("agents_host", message.agents_host(), {.max_bytes = kMaxHostBytes, .token_characters_only = true}));
  TACIT_TRY_VOID(CheckRange<std::uint32_t>("agents_port", message.agents_port(), 1, 65'535));
  return EnrolReply{.device = std::move(device),
                    .certificate_chain_pem = std::move(chain),
                    .ca_pem = std::move(ca),
                    .agents_host = message.agents_host(),
                    .agents_port = static_cast<std::uint16_t>(message.agents_port())};
}

Result<RenewRequest> ParseRenewRequest(ByteSpan bytes) {
  v1::RenewRequest message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxRenewRequestBytes, "a renewal request", message));
  TACIT_TRY(auto csr, ParsePem("csr_pem", std::move(*message.mutable_csr_pem()), kMaxCsrPemBytes));
  return RenewRequest{.csr_pem = std::move(csr)};
}

Result<RenewReply> ParseRenewReply(ByteSpan bytes) {
  v1::RenewResponse message;
  TACIT_TRY_VOID(ParseMessage(bytes, kMaxRenewReplyBytes, "a renewal reply", message));
  TACIT_TRY(auto chain, ParsePem("certificate_chain_pem", std::move(*message.mutable_certificate_chain_pem()),
                                 kMaxCertificateChainPemBytes));
  return RenewReply{.certificate_chain_pem = std::move(chain)};
}

}  // namespace tacit::codec
