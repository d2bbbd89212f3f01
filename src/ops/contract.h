/* ops/contract.h: what other products share with matmul, and the CPU kernels of sums of products
 * (ops/contract_kernel.c). */
#ifndef OPS_CONTRACT_H
#define OPS_CONTRACT_H

#include "ops/kernel.h"
#include "ops/lower.h"

rlx_status matmul_infer(ir_infer *c);
rlx_status matmul_ref(ref_call *c); /* integers are summed in 64 bits */
/* The product of arrays of `dtype` with the sizes of operands 0 and 1, as the output is shaped. */
mx matmul_of(lower_call *c, rlx_dtype dtype, mx a, mx b);

extern const ir_kernel matmul_kernel, linear_kernel, dot_general_kernel;

#endif
