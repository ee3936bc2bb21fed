#pragma once

#include <utility>

namespace tacit {

class DurableMinter;

/// Proof that `value` is on disk and will be there after a crash. Only a store can make one.
template <typename T>
class Durable {
 public:
  [[nodiscard]] const T& value() const { return value_; }

 private:
  friend class DurableMinter;
  explicit Durable(T value) : value_(std::move(value)) {}
  T value_;
};

/// Inherited by stores, and by nothing else (tests/repository/check_layers.py watches that): the right to say "this is
/// durable". One exception: dp/audit.cc, whose ledger is of no task, and whose tokens open no sum but its own.
class DurableMinter {
 protected:
  template <typename T>
  static Durable<T> Mint(T value) {
    return Durable<T>(std::move(value));
  }
};

}  // namespace tacit
