#pragma once

#include <tss2/tss2_esys.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_tctildr.h>

#include "common/base/result.h"

namespace tacit::keys {

/// What is used of tpm2-tss, found at run time: an agent without a TPM runs without the libraries.
struct TssLibrary {
  decltype(Tss2_TctiLdr_Initialize)* tcti_initialize = nullptr;
  decltype(Tss2_TctiLdr_Finalize)* tcti_finalize = nullptr;
  decltype(Esys_Initialize)* initialize = nullptr;
  decltype(Esys_Finalize)* finalize = nullptr;
  decltype(Esys_Free)* free = nullptr;
  decltype(Esys_CreatePrimary)* create_primary = nullptr;
  decltype(Esys_StartAuthSession)* start_auth_session = nullptr;
  decltype(Esys_TRSess_SetAttributes)* set_attributes = nullptr;
  decltype(Esys_TR_GetName)* get_name = nullptr;
  decltype(Esys_TR_SetAuth)* set_auth = nullptr;
  decltype(Esys_TR_Close)* close = nullptr;
  decltype(Esys_TR_FromTPMPublic)* from_tpm_public = nullptr;
  decltype(Esys_Create)* create = nullptr;
  decltype(Esys_Load)* load = nullptr;
  decltype(Esys_FlushContext)* flush_context = nullptr;
  decltype(Esys_ECDH_ZGen)* ecdh_zgen = nullptr;
  decltype(Esys_NV_DefineSpace)* nv_define_space = nullptr;
  decltype(Esys_NV_Increment)* nv_increment = nullptr;
  decltype(Esys_NV_Read)* nv_read = nullptr;
  decltype(Tss2_MU_TPM2B_PUBLIC_Marshal)* marshal_public = nullptr;
  decltype(Tss2_MU_TPM2B_PUBLIC_Unmarshal)* unmarshal_public = nullptr;
  decltype(Tss2_MU_TPM2B_PRIVATE_Marshal)* marshal_private = nullptr;
  decltype(Tss2_MU_TPM2B_PRIVATE_Unmarshal)* unmarshal_private = nullptr;

  /// Errors: kNotFound, naming the packages to install.
  static Result<TssLibrary> Load();
};

}  // namespace tacit::keys
