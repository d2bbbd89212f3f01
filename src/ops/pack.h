/* ops/pack.h: what an executable keeps of packed constants, one copy for all its variants. */
#ifndef OPS_PACK_H
#define OPS_PACK_H

#include "base/status.h"

typedef struct kernel_packs kernel_packs;
/* From any thread; packs_free when no kernel reads them any more. */
rlx_status packs_create(kernel_packs **out_packs);
void packs_free(kernel_packs *p);

#endif
