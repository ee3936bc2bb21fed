#pragma once

#include <dlfcn.h>

#include <string>

#include "common/base/result.h"

namespace tacit::keys {

/// A shared library that is loaded for the rest of the process: what speaks to hardware leaves threads and handlers
/// behind that unloading would pull the ground from under.
class SharedLibrary {
 public:
  /// Errors: kNotFound, with what the linker says.
  static Result<SharedLibrary> Load(const std::string& name) {
    void* const handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return Fail(ErrorCode::kNotFound, "cannot load " + name + ": " + TakeReason());
    return SharedLibrary(handle);
  }

  /// Finds `name` and keeps it in `function`. Errors: kNotFound.
  template <typename Function>
  Result<void> Find(const char* name, Function*& function) const {
    function = reinterpret_cast<Function*>(::dlsym(handle_, name));
    if (function != nullptr) return {};
    return Fail(ErrorCode::kNotFound, "the library has no " + std::string(name) + ": " + TakeReason());
  }

 private:
  explicit SharedLibrary(void* handle) : handle_(handle) {}
  static std::string TakeReason() {
    const char* const reason = ::dlerror();
    return reason == nullptr ? "no reason given" : reason;
  }
  void* handle_;
};

}  // namespace tacit::keys
