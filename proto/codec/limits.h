#pragma once

#include <cstddef>
#include <cstdint>

#include "common/base/clock.h"

/// The sizes and ranges of the protocol, as docs/PROTOCOL.md lists them. A reader of a body refuses a longer one before
/// it takes memory for it; a parser refuses a value outside its range.
namespace tacit::codec {

inline constexpr std::uint32_t kProtocolVersion = 1;

// Whole messages, in bytes. Larger than any message of version 1 needs, so that a later version has room for new
// fields.
inline constexpr std::size_t kMaxCheckInRequestBytes = 4096;
inline constexpr std::size_t kMaxCheckInReplyBytes = 8192;
inline constexpr std::size_t kMaxUpdateHeaderBytes = 4096;
inline constexpr std::size_t kMaxUpdateAckBytes = 1024;
inline constexpr std::size_t kMaxPrivacyReplyBytes = 64 * 1024;
inline constexpr std::size_t kMaxModelLeaseRequestBytes = 1024;
inline constexpr std::size_t kMaxModelLeaseReplyBytes = 32 * 1024;
inline constexpr std::size_t kMaxReportBatchBytes = 8192;
inline constexpr std::size_t kMaxReportAckBytes = 1024;
inline constexpr std::size_t kMaxEnrolRequestBytes = 16 * 1024;
inline constexpr std::size_t kMaxEnrolReplyBytes = 128 * 1024;
inline constexpr std::size_t kMaxRenewRequestBytes = 16 * 1024;
inline constexpr std::size_t kMaxRenewReplyBytes = 64 * 1024;

/// Of less than this the server keeps nothing when an upload breaks off.
inline constexpr std::uint64_t kLeastKeptBytes = std::uint64_t{1} << 20U;

// Texts, in bytes.
inline constexpr std::size_t kMaxAgentVersionBytes = 64;
inline constexpr std::size_t kMaxReasonBytes = 512;
inline constexpr std::size_t kMaxKeyTierBytes = 32;
inline constexpr std::size_t kMaxModelLeaseBytes = 16 * 1024;
inline constexpr std::size_t kMaxReportStatementBytes = 4096;
inline constexpr std::size_t kMaxReportKeyBytes = 600;  // of RSA with 4096 bits
inline constexpr std::size_t kMaxReportSignatureBytes = 512;
inline constexpr std::size_t kMaxDegradationBytes = 32;
inline constexpr std::size_t kMaxModelTextBytes = 4096;
inline constexpr std::size_t kMaxTokenBytes = 128;
inline constexpr std::size_t kMaxCsrPemBytes = 8 * 1024;
inline constexpr std::size_t kMaxCertificateChainPemBytes = 32 * 1024;
inline constexpr std::size_t kMaxCaPemBytes = 32 * 1024;
inline constexpr std::size_t kMaxHostBytes = 253;

// Numbers, both ends included.
inline constexpr std::uint32_t kMaxLayerWidth = 1U << 20U;
inline constexpr std::size_t kMaxHiddenLayers = 8;
inline constexpr std::size_t kMaxTaskSpends = 500;
inline constexpr std::size_t kMaxDeclined = 32;
inline constexpr std::uint64_t kMaxParameters = 1ULL << 28U;
inline constexpr std::uint64_t kMaxPayloadBytes = 4 * kMaxParameters;
inline constexpr std::uint64_t kMaxSparsePayloadBytes = kMaxPayloadBytes + kMaxParameters / 8;
inline constexpr std::uint32_t kMinGridRadius = 1U << 10U;
inline constexpr std::uint32_t kMaxGridRadius = 1U << 30U;
inline constexpr std::uint32_t kMaxEpochs = 1'000'000;
inline constexpr std::uint32_t kMaxBatchSize = 1U << 24U;
inline constexpr std::uint32_t kMaxAdversarialSteps = 100;
/// Of numbers of inputs: how far hardened training may change one, and how large one may be.
inline constexpr double kLeastChange = 1e-6;
inline constexpr double kMostInput = 1e6;
/// Versions are counted in the numbers that JSON has.
inline constexpr std::uint64_t kMaxBundleVersion = (1ULL << 53U) - 1;
inline constexpr std::uint64_t kMaxReportSequence = (1ULL << 53U) - 1;
inline constexpr std::size_t kMaxDegradations = 32;
/// The largest plaintext of a bundle, with all that is sealed around it.
inline constexpr std::uint64_t kMaxBundleBytes = (1ULL << 32U) + (1ULL << 22U);
inline constexpr Millis kMaxRenewAfter = std::chrono::days(366);
inline constexpr Millis kMaxRetryAfter = std::chrono::hours(24);
inline constexpr Millis kMaxLeaseDeadline = std::chrono::days(366);

}  // namespace tacit::codec
