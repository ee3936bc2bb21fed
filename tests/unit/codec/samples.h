#pragma once

#include <string>

#include "proto/codec/agent.h"
#include "proto/codec/enrolment.h"

/// One good value of each message, with every field set.
namespace tacit::codec::samples {

inline CheckInRequest SomeCheckIn() {
  return {.agent_version = "tacit-agent 0.1.0",
          .wait = Millis(30'000),
          .task = *TaskId::Parse("har"),
          .inputs = 561,
          .classes = 6,
          .declined = {*TaskId::Parse("other"), *TaskId::Parse("more")},
          .only_local_noise = true,
          .trains_layers = true,
          .trains_hardened = true};
}

inline Lease SomeLease() {
  Lease lease{.task = *TaskId::Parse("har"),
              .round = 7,
              .model_version = 5,
              .model_digest = {},
              .model_bytes = 4 * 3'372,
              .schema_digest = {},
              .model = {.inputs = 561, .hidden = {32, 16}, .classes = 6},
              .training = {.epochs = 2, .batch_size = 32, .learning_rate = 0.1, .momentum = 0.9, .proximal_mu = 0.01},
              .mechanism = Mechanism::kGaussian,
              .clip_norm = 1.5,
              .grid_radius = 1U << 20U,
              .deadline = Millis(60'000),
              .max_examples = 500,
              .local = {}};
  lease.model_digest.fill(0xab);
  lease.schema_digest.fill(0xcd);
  return lease;
}

/// One whose device adds the noise.
inline Lease NoisyLease(Mechanism mechanism = Mechanism::kGaussian) {
  Lease lease = SomeLease();
  lease.mechanism = Mechanism::kNone;
  lease.local = LocalNoise{.mechanism = mechanism, .noise_multiplier = 8, .delta = 1e-6, .max_releases = 20};
  return lease;
}

inline UpdateHeader SomeHeader() {
  UpdateHeader header{.schema_digest = {},
                      .encoding = Encoding::kGridInt32,
                      .payload_bytes = 4 * 3'372,
                      .payload_digest = {},
                      .example_count = 281};
  header.schema_digest.fill(0xcd);
  header.payload_digest.fill(0xef);
  return header;
}

inline EnrolRequest SomeEnrolment() {
  return {
      .token = "tok_0123456789abcdef", .csr_pem = "-----BEGIN\nAA==\n-----END\n", .label = *DeviceId::Parse("pump-3")};
}

inline EnrolReply SomeEnrolmentReply() {
  return {.device = *DeviceId::Parse("pump-3"),
          .certificate_chain_pem = "-----BEGIN\nchain\n",
          .ca_pem = "-----BEGIN\nca\n",
          .agents_host = "tacit.example",
          .agents_port = 8443};
}

}  // namespace tacit::codec::samples
