#include "dp/vector_loops.h"

#if defined(__x86_64__)
TACIT_VECTOR_KERNELS(kAvx2Kernels, [[gnu::target("avx2")]])
#endif
