/* ir/dtype.c: the table of element types. */
#include <rlx/dtype.h>
#include <string.h>

static const rlx_dtype_info infos[RLX_DTYPE_COUNT] = {
#define X(NAME, text, kind, elems, bytes) {text, RLX_KIND_##kind, elems, bytes},
    RLX_DTYPE_LIST(X)
#undef X
};

const rlx_dtype_info *rlx_dtype_get(rlx_dtype dtype) {
  return (size_t)dtype < RLX_DTYPE_COUNT ? &infos[dtype] : NULL;
}

rlx_dtype rlx_dtype_find(const char *name) {
  size_t i = 0;
  while (i < RLX_DTYPE_COUNT && (!name || strcmp(infos[i].name, name) != 0)) i++;
  return (rlx_dtype)i;
}
