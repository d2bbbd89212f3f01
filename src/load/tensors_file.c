/* load/tensors_file.c: files of named tensors, told by their name. */
#include <rlx/tensor.h>
#include <string.h>

#include "base/status.h"

typedef struct kind {
  const char *suffix;
  rlx_status (*load)(const char *path, rlx_tensors **out_tensors);
  rlx_status (*save)(const rlx_tensors *tensors, const char *path);
} kind;

static const kind kinds[] = {
    {".npz", rlx_tensors_load_npz, rlx_tensors_save_npz},
    {".safetensors", rlx_tensors_load_safetensors, rlx_tensors_save_safetensors}};

static rlx_status find(const char *path, const kind **out_kind) {
  if (!path) return status_set(RLX_ERROR_ARGUMENT, "tensors: path is NULL");
  const size_t n = strlen(path);
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    const size_t m = strlen(kinds[i].suffix);
    *out_kind = &kinds[i];
    if (n >= m && strcmp(path + n - m, kinds[i].suffix) == 0) return RLX_OK;
  }
  return status_set(RLX_ERROR_ARGUMENT, "%s: a name that ends in .npz or .safetensors is wanted",
                    path);
}

rlx_status rlx_tensors_load(const char *path, rlx_tensors **out_tensors) {
  const kind *k;
  RLX_TRY(find(path, &k));
  return k->load(path, out_tensors);
}

rlx_status rlx_tensors_save(const rlx_tensors *tensors, const char *path) {
  const kind *k;
  RLX_TRY(find(path, &k));
  return k->save(tensors, path);
}
