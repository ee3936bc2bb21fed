#include "server/api/update_form.h"

#include <string>

#include "dp/update.h"
#include "server/api/compressed_payload.h"

namespace tacit::api {

Result<UploadMemory::Wanted> MemoryFor(const Context& context, const UpdateForm& form) {
  const UploadMemory::Wanted wanted{
      .bytes = form.values > 0 ? dp::Sparse{.parameters = form.parameters, .values = form.values}.MemoryBytes()
                               : form.parameters * sizeof(std::int32_t),
      .beside = form.may_travel_compressed ? CompressedPayload::kMemoryBytes : 0};
  const std::string update = "an update takes " + std::to_string(wanted.bytes) + " bytes of memory";
  if (wanted.bytes > context.max_update_bytes) {
    return Fail(ErrorCode::kTooLarge,
                update + "; this server has [limits] max_update_bytes = " + std::to_string(context.max_update_bytes));
  }
  if (context.upload_memory.Fits(wanted)) return wanted;
  return Fail(ErrorCode::kTooLarge,
              update + ", and unpacking it " + std::to_string(wanted.beside) +
                  " more; this server has [limits] upload_memory = " + std::to_string(context.upload_memory.limit()));
}

}  // namespace tacit::api
