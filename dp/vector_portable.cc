#include "dp/vector_loops.h"

TACIT_VECTOR_KERNELS(kPortableKernels, )
