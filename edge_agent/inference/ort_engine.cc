#include "edge_agent/inference/ort_engine.h"

#include <dlfcn.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/files.h"
#include "common/crypto/digest.h"

namespace tacit::inference {
namespace {

// The C interface of ONNX Runtime, version 1: a table of functions to which later versions only add. What is used of it
// is declared here, by its place in the table. Source: onnxruntime_c_api.h of ONNX Runtime 1.27, struct OrtApi.
struct OrtObject;
using OrtStatus = OrtObject*;
constexpr std::uint32_t kTableVersion = 1;
constexpr int kWarnings = 2;           // OrtLoggingLevel
constexpr int kAllOptimisations = 99;  // GraphOptimizationLevel
constexpr int kArenaAllocator = 1;     // OrtAllocatorType
constexpr int kDefaultMemory = 0;      // OrtMemType

struct ApiBase {
  const void* const* (*get_api)(std::uint32_t version);
  const char* (*get_version)();
};

enum Slot : std::size_t {
  kGetErrorMessage = 2,
  kCreateEnv = 3,
  kCreateSessionFromArray = 8,
  kRun = 9,
  kCreateSessionOptions = 10,
  kSetOptimisation = 23,
  kSetIntraOpThreads = 24,
  kInputCount = 30,
  kOutputCount = 31,
  kInputTypeInfo = 33,
  kOutputTypeInfo = 34,
  kInputName = 36,
  kOutputName = 37,
  kCreateTensor = 49,
  kTensorInfoOfType = 55,
  kElementType = 60,
  kDimensionCount = 61,
  kDimensions = 62,
  kCreateCpuMemory = 69,
  kAllocatorFree = 76,
  kDefaultAllocator = 78,
  kReleaseEnv = 92,
  kReleaseStatus = 93,
  kReleaseMemory = 94,
  kReleaseSession = 95,
  kReleaseValue = 96,
  kReleaseTypeInfo = 98,
  kReleaseSessionOptions = 100,
};

/// The functions, by place.
class Table {
 public:
  explicit Table(const void* const* slots) : slots_(slots) {}

  /// Calls one that says whether it went well.
  template <typename... Arguments>
  [[nodiscard]] Result<void> Call(Slot slot, Arguments... arguments) const {
    using Function = OrtStatus (*)(Arguments...);
    const OrtStatus status = reinterpret_cast<Function>(const_cast<void*>(slots_[slot]))(arguments...);
    if (status == nullptr) return {};
    using Message = const char* (*)(const OrtObject*);
    std::string text = reinterpret_cast<Message>(const_cast<void*>(slots_[kGetErrorMessage]))(status);
    Release(kReleaseStatus, status);
    return Fail(ErrorCode::kInvalidArgument, "ONNX Runtime: " + text);
  }
  void Release(Slot slot, OrtObject* object) const {
    using Function = void (*)(OrtObject*);
    if (object != nullptr) reinterpret_cast<Function>(const_cast<void*>(slots_[slot]))(object);
  }

 private:
  const void* const* slots_;
};

/// One of its objects, released with this.
class Owned {
 public:
  Owned() = default;
  Owned(const Table& table, Slot release) : table_(table), release_(release) {}
  Owned(Owned&& other) noexcept
      : table_(other.table_), release_(other.release_), object_(std::exchange(other.object_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(release_, other.release_);
    std::swap(object_, other.object_);
    return *this;
  }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (table_) table_->Release(release_, object_);
  }

  [[nodiscard]] OrtObject* get() const { return object_; }
  /// Where a function puts it.
  [[nodiscard]] OrtObject** place() { return &object_; }

 private:
  std::optional<Table> table_;
  Slot release_ = kReleaseValue;
  OrtObject* object_ = nullptr;
};

// ONNXTensorElementDataType.
constexpr std::array<std::pair<int, graph::Element>, 4> kElements{{{1, graph::Element::kFloat32},
                                                                   {2, graph::Element::kUint8},
                                                                   {3, graph::Element::kInt8},
                                                                   {6, graph::Element::kInt32}}};

Result<graph::Element> ElementOf(int type) {
  for (const auto& [code, element] : kElements) {
    if (code == type) return element;
  }
  return Fail(ErrorCode::kInvalidArgument, "an input or output is of element type " + std::to_string(type) +
                                               ", which is none of float32, int8, uint8, int32");
}

int TypeOf(graph::Element element) {
  for (const auto& [code, each] : kElements) {
    if (each == element) return code;
  }
  return 0;
}

class OrtEngine final : public Engine {
 public:
  static Result<std::unique_ptr<Engine>> Create(const Table& table) {
    auto engine = std::make_unique<OrtEngine>(table);
    TACIT_TRY_VOID(table.Call(kCreateEnv, kWarnings, static_cast<const char*>("tacit"), engine->env_.place()));
    TACIT_TRY_VOID(table.Call(kCreateCpuMemory, kArenaAllocator, kDefaultMemory, engine->memory_.place()));
    return engine;
  }
  explicit OrtEngine(const Table& table)
      : table_(table), env_(table, kReleaseEnv), memory_(table, kReleaseMemory), session_(table, kReleaseSession) {}

  Result<void> Load(ByteSpan model) override {
    Wipe();
    const auto loaded = Prepare(model);
    if (!loaded) Wipe();
    return loaded;
  }
  [[nodiscard]] const Signature& signature() const override { return signature_; }

  Result<void> Run(std::size_t rows, std::span<const ByteSpan> inputs,
                   std::span<const std::span<std::uint8_t>> outputs) override {
    if (session_.get() == nullptr) return Fail(ErrorCode::kInvalidArgument, "no model is loaded");
    if (rows == 0 || rows > kMostRows) return Fail(ErrorCode::kInvalidArgument, "rows must be 1 to 2^24");
    std::vector<std::uint8_t*> in;
    std::vector<std::size_t> in_sizes;
    for (const ByteSpan input : inputs) {
      in.push_back(const_cast<std::uint8_t*>(input.data()));  // a tensor of others' bytes, which Run only reads
      in_sizes.push_back(input.size());
    }
    std::vector<std::uint8_t*> out;
    std::vector<std::size_t> out_sizes;
    for (const auto output : outputs) {
      out.push_back(output.data());
      out_sizes.push_back(output.size());
    }
    TACIT_TRY(const Tensors in_tensors, Wrap(rows, signature_.inputs, in, in_sizes));
    TACIT_TRY(const Tensors out_tensors, Wrap(rows, signature_.outputs, out, out_sizes));
    std::vector<OrtObject*> results = out_tensors.objects;
    return table_.Call(kRun, session_.get(), static_cast<const OrtObject*>(nullptr), in_tensors.names.data(),
                       static_cast<const OrtObject* const*>(in_tensors.objects.data()), in_tensors.names.size(),
                       out_tensors.names.data(), out_tensors.names.size(), results.data());
  }

  Result<void> InputGradient(std::span<const float> /*input*/, std::span<const std::uint32_t> /*classes*/,
                             std::span<float> /*gradient*/) override {
    return Fail(ErrorCode::kInvalidArgument, "ONNX Runtime gives no derivatives; use the built-in engine");
  }
  Result<double> TrainStep(const Step& /*step*/) override {
    return Fail(ErrorCode::kInvalidArgument, "ONNX Runtime does not train; use the built-in engine");
  }

  void Wipe() override {
    session_ = Owned(table_, kReleaseSession);
    signature_ = {};
  }

 private:
  static constexpr std::size_t kMostRows = std::size_t{1} << 24U;

  struct Tensors {
    std::vector<Owned> owned;
    std::vector<OrtObject*> objects;
    std::vector<const char*> names;
  };

  Result<void> Prepare(ByteSpan model) {
    Owned options(table_, kReleaseSessionOptions);
    TACIT_TRY_VOID(table_.Call(kCreateSessionOptions, options.place()));
    TACIT_TRY_VOID(table_.Call(kSetIntraOpThreads, options.get(), 1));
    TACIT_TRY_VOID(table_.Call(kSetOptimisation, options.get(), kAllOptimisations));
    TACIT_TRY_VOID(table_.Call(kCreateSessionFromArray, env_.get(), static_cast<const void*>(model.data()),
                               model.size(), static_cast<const OrtObject*>(options.get()), session_.place()));
    TACIT_TRY(signature_.inputs, Ports(kInputCount, kInputName, kInputTypeInfo));
    TACIT_TRY(signature_.outputs, Ports(kOutputCount, kOutputName, kOutputTypeInfo));
    return {};
  }

  Result<std::vector<Port>> Ports(Slot count_slot, Slot name_slot, Slot type_slot) {
    std::size_t count = 0;
    const OrtObject* session = session_.get();
    TACIT_TRY_VOID(table_.Call(count_slot, session, &count));
    OrtObject* allocator = nullptr;
    TACIT_TRY_VOID(table_.Call(kDefaultAllocator, &allocator));
    std::vector<Port> ports;
    for (std::size_t i = 0; i < count; ++i) {
      char* name = nullptr;
      TACIT_TRY_VOID(table_.Call(name_slot, session, i, allocator, &name));
      Owned type(table_, kReleaseTypeInfo);
      TACIT_TRY_VOID(table_.Call(type_slot, session, i, type.place()));
      TACIT_TRY(Port port, PortOf(type));
      port.name = name;
      TACIT_TRY_VOID(table_.Call(kAllocatorFree, allocator, static_cast<void*>(name)));
      ports.push_back(std::move(port));
    }
    return ports;
  }

  [[nodiscard]] Result<Port> PortOf(const Owned& type) const {
    const OrtObject* tensor = nullptr;
    TACIT_TRY_VOID(table_.Call(kTensorInfoOfType, static_cast<const OrtObject*>(type.get()), &tensor));
    if (tensor == nullptr) return Fail(ErrorCode::kInvalidArgument, "an input or output is no tensor");
    int element = 0;
    TACIT_TRY_VOID(table_.Call(kElementType, tensor, &element));
    std::size_t rank = 0;
    TACIT_TRY_VOID(table_.Call(kDimensionCount, tensor, &rank));
    Port port;
    TACIT_TRY(port.element, ElementOf(element));
    port.shape.resize(rank);
    TACIT_TRY_VOID(table_.Call(kDimensions, tensor, port.shape.data(), rank));
    if (rank == 0) return Fail(ErrorCode::kInvalidArgument, "an input or output has no rows");
    port.shape[0] = graph::kRows;
    for (std::size_t d = 1; d < rank; ++d) {
      if (port.shape[d] < 1) return Fail(ErrorCode::kInvalidArgument, "only the rows may be of any number");
    }
    return port;
  }

  Result<Tensors> Wrap(std::size_t rows, const std::vector<Port>& ports, const std::vector<std::uint8_t*>& data,
                       const std::vector<std::size_t>& sizes) const {
    if (data.size() != ports.size()) {
      return Fail(ErrorCode::kInvalidArgument, "the model has " + std::to_string(ports.size()) +
                                                   " inputs or outputs here, not " + std::to_string(data.size()));
    }
    Tensors tensors;
    for (std::size_t i = 0; i < ports.size(); ++i) {
      const Port& port = ports[i];
      if (sizes[i] != rows * port.RowSize() * graph::SizeOf(port.element)) {
        return Fail(ErrorCode::kInvalidArgument,
                    "\"" + port.name + "\" has " + std::to_string(sizes[i]) + " bytes, which are not its rows");
      }
      graph::Shape shape = port.shape;
      shape[0] = static_cast<std::int64_t>(rows);
      tensors.owned.emplace_back(table_, kReleaseValue);
      TACIT_TRY_VOID(table_.Call(kCreateTensor, static_cast<const OrtObject*>(memory_.get()),
                                 static_cast<void*>(data[i]), sizes[i], static_cast<const std::int64_t*>(shape.data()),
                                 shape.size(), TypeOf(port.element), tensors.owned.back().place()));
      tensors.objects.push_back(tensors.owned.back().get());
      tensors.names.push_back(port.name.c_str());
    }
    return tensors;
  }

  Table table_;
  Owned env_;
  Owned memory_;
  Owned session_;
  Signature signature_;
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { ::close(fd_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Result<Digest256> DigestOf(const Descriptor& file) {
  crypto::Sha256Stream digest;
  std::vector<std::uint8_t> part(std::size_t{1} << 16U);
  while (true) {
    const ssize_t size = ::read(file.get(), part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Fail(ErrorCode::kUnavailable, "the library of ONNX Runtime cannot be read");
    if (size == 0) return digest.Finish();
    digest.Update(ByteSpan(part).first(static_cast<std::size_t>(size)));
  }
}

}  // namespace

Result<std::unique_ptr<Engine>> MakeOrtEngine(const OrtOptions& options) {
  TACIT_TRY(const int fd, OpenToRead(options.library));
  const Descriptor file(fd);
  TACIT_TRY(const Digest256 digest, DigestOf(file));
  if (digest != options.sha256) {
    return Fail(ErrorCode::kPermissionDenied, options.library.string() + " has the SHA-256 " + ToHex(digest) +
                                                  ", which is not the one that is configured");
  }
  ::setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  // By its descriptor, so that it is the file whose digest was computed, whatever has its name by now.
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (library == nullptr) {
    const char* reason = ::dlerror();
    return Fail(ErrorCode::kUnavailable, options.library.string() + ": " + (reason != nullptr ? reason : "no library"));
  }
  using GetApiBase = const ApiBase* (*)();
  const auto get_base = reinterpret_cast<GetApiBase>(::dlsym(library, "OrtGetApiBase"));
  const void* const* slots = get_base == nullptr ? nullptr : get_base()->get_api(kTableVersion);
  if (slots == nullptr) return Fail(ErrorCode::kUnavailable, options.library.string() + " is no ONNX Runtime");
  return OrtEngine::Create(Table(slots));
}

}  // namespace tacit::inference
