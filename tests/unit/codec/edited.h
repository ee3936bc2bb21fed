#pragma once

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "proto/codec/agent.h"
#include "proto/codec/delivery.h"
#include "proto/codec/enrolment.h"
#include "proto/codec/reports.h"

namespace tacit::codec {

/// The wire form of a good `Message`, changed by `edit`: what a wrong or hostile peer would send.
template <typename Message, typename Value>
Bytes Edited(const Value& value, const std::function<void(Message&)>& edit) {
  Message message;
  const Bytes good = Encode(value);
  EXPECT_TRUE(message.ParseFromArray(good.data(), static_cast<int>(good.size())));
  edit(message);
  const std::string bytes = message.SerializeAsString();
  return {bytes.begin(), bytes.end()};
}

}  // namespace tacit::codec
