#include "edge_agent/keys/tss_library.h"

#include <string>

#include "edge_agent/keys/shared_library.h"

namespace tacit::keys {
namespace {

Result<void> FindEsys(const SharedLibrary& esys, TssLibrary& tss) {
  TACIT_TRY_VOID(esys.Find("Esys_Initialize", tss.initialize));
  TACIT_TRY_VOID(esys.Find("Esys_Finalize", tss.finalize));
  TACIT_TRY_VOID(esys.Find("Esys_Free", tss.free));
  TACIT_TRY_VOID(esys.Find("Esys_CreatePrimary", tss.create_primary));
  TACIT_TRY_VOID(esys.Find("Esys_StartAuthSession", tss.start_auth_session));
  TACIT_TRY_VOID(esys.Find("Esys_TRSess_SetAttributes", tss.set_attributes));
  TACIT_TRY_VOID(esys.Find("Esys_TR_GetName", tss.get_name));
  TACIT_TRY_VOID(esys.Find("Esys_TR_SetAuth", tss.set_auth));
  TACIT_TRY_VOID(esys.Find("Esys_TR_Close", tss.close));
  TACIT_TRY_VOID(esys.Find("Esys_TR_FromTPMPublic", tss.from_tpm_public));
  TACIT_TRY_VOID(esys.Find("Esys_Create", tss.create));
  TACIT_TRY_VOID(esys.Find("Esys_Load", tss.load));
  TACIT_TRY_VOID(esys.Find("Esys_FlushContext", tss.flush_context));
  TACIT_TRY_VOID(esys.Find("Esys_ECDH_ZGen", tss.ecdh_zgen));
  TACIT_TRY_VOID(esys.Find("Esys_NV_DefineSpace", tss.nv_define_space));
  TACIT_TRY_VOID(esys.Find("Esys_NV_Increment", tss.nv_increment));
  return esys.Find("Esys_NV_Read", tss.nv_read);
}

Result<TssLibrary> LoadAll() {
  TssLibrary tss;
  TACIT_TRY(const SharedLibrary loader, SharedLibrary::Load("libtss2-tctildr.so.0"));
  TACIT_TRY_VOID(loader.Find("Tss2_TctiLdr_Initialize", tss.tcti_initialize));
  TACIT_TRY_VOID(loader.Find("Tss2_TctiLdr_Finalize", tss.tcti_finalize));
  TACIT_TRY(const SharedLibrary marshalling, SharedLibrary::Load("libtss2-mu.so.0"));
  TACIT_TRY_VOID(marshalling.Find("Tss2_MU_TPM2B_PUBLIC_Marshal", tss.marshal_public));
  TACIT_TRY_VOID(marshalling.Find("Tss2_MU_TPM2B_PUBLIC_Unmarshal", tss.unmarshal_public));
  TACIT_TRY_VOID(marshalling.Find("Tss2_MU_TPM2B_PRIVATE_Marshal", tss.marshal_private));
  TACIT_TRY_VOID(marshalling.Find("Tss2_MU_TPM2B_PRIVATE_Unmarshal", tss.unmarshal_private));
  TACIT_TRY(const SharedLibrary esys, SharedLibrary::Load("libtss2-esys.so.0"));
  TACIT_TRY_VOID(FindEsys(esys, tss));
  return tss;
}

}  // namespace

Result<TssLibrary> TssLibrary::Load() {
  auto tss = LoadAll();
  if (tss) return tss;
  return Fail(tss.error().code,
              "the key's place is a TPM, for which tpm2-tss 3 or newer must be installed "
              "(Debian: libtss2-esys-3.0.2-0 and libtss2-tctildr0): " +
                  tss.error().message);
}

}  // namespace tacit::keys
