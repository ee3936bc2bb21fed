#include "dp/vector_loops.h"

#if defined(__x86_64__)
TACIT_VECTOR_KERNELS(kAvx512Kernels, [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl")]])
#endif
