/* ops/pack.h: what an executable keeps of packed constants, one copy for all its variants. */
#ifndef OPS_PACK_H
#define OPS_PACK_H

#include <stddef.h>

#include "base/status.h"

typedef struct kernel_packs kernel_packs;
/* Owner: counted; from any thread. */
rlx_status packs_create(kernel_packs **out_packs);
kernel_packs *packs_retain(kernel_packs *p);
void packs_free(kernel_packs *p);
size_t packs_bytes(kernel_packs *p);

#endif
