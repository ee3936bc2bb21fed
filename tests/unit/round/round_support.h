#pragma once

#include <string>
#include <vector>

#include "server/round/machine.h"

/// What tests of the round machine say and look for.
namespace tacit::round::testing {

inline DeviceId Device(int number) {
  return *DeviceId::Parse("device-" + std::to_string(number));
}
inline Digest128 DigestOf(int number) {
  return Xxh3(AsBytes(std::to_string(number)));
}
inline SteadyTime At(int ms) {
  return SteadyTime(Millis(ms));
}
inline RoundKey KeyOf(RoundNumber round) {
  return {*TaskId::Parse("har"), round};
}

template <typename T>
std::vector<T> Only(const Actions& actions) {
  std::vector<T> found;
  for (const Action& action : actions) {
    if (const T* each = std::get_if<T>(&action)) found.push_back(*each);
  }
  return found;
}

}  // namespace tacit::round::testing
