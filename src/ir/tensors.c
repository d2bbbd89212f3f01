/* ir/tensors.c: the named list of tensors. */
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "ir/tensor.h"

typedef struct entry {
  char *name;
  rlx_tensor *tensor;
} entry;

struct rlx_tensors {
  VEC(entry) entries;
  map index; /* name -> place; borrows the entries' names */
};

rlx_status rlx_tensors_create(rlx_tensors **out_tensors) {
  if (!out_tensors) return status_set(RLX_ERROR_ARGUMENT, "tensors: out_tensors is NULL");
  *out_tensors = mem_new(1, sizeof **out_tensors);
  return *out_tensors ? RLX_OK : status_memory(sizeof **out_tensors);
}

void rlx_tensors_free(rlx_tensors *tensors) {
  if (!tensors) return;
  for (size_t i = 0; i < tensors->entries.n; i++) {
    mem_free(tensors->entries.data[i].name);
    rlx_tensor_free(tensors->entries.data[i].tensor);
  }
  vec_free(&tensors->entries);
  map_free(&tensors->index);
  mem_free(tensors);
}

rlx_status rlx_tensors_set(rlx_tensors *tensors, const char *name, rlx_tensor *tensor) {
  if (!tensors || !name || !tensor) {
    return status_set(RLX_ERROR_ARGUMENT, "tensors: a %s is missing",
                      !tensors ? "list" : !name ? "name" : "tensor");
  }
  uint64_t place;
  if (map_get(&tensors->index, name, &place)) {
    entry *e = &tensors->entries.data[place];
    rlx_tensor_retain(tensor);
    rlx_tensor_free(e->tensor);
    e->tensor = tensor;
    return RLX_OK;
  }
  entry e = {mem_strdup(name), tensor};
  if (!e.name || !vec_push(&tensors->entries, e)) {
    mem_free(e.name);
    return status_memory(strlen(name) + 1);
  }
  if (!map_put(&tensors->index, e.name, tensors->entries.n - 1)) {
    tensors->entries.n--;
    mem_free(e.name);
    return status_memory(sizeof e);
  }
  rlx_tensor_retain(tensor);
  return RLX_OK;
}

size_t rlx_tensors_count(const rlx_tensors *tensors) { return tensors ? tensors->entries.n : 0; }

const char *rlx_tensors_name(const rlx_tensors *tensors, size_t index) {
  return index < rlx_tensors_count(tensors) ? tensors->entries.data[index].name : NULL;
}

rlx_tensor *rlx_tensors_at(const rlx_tensors *tensors, size_t index) {
  return index < rlx_tensors_count(tensors) ? tensors->entries.data[index].tensor : NULL;
}

rlx_tensor *rlx_tensors_get(const rlx_tensors *tensors, const char *name) {
  uint64_t place;
  return tensors && name && map_get(&tensors->index, name, &place)
             ? tensors->entries.data[place].tensor
             : NULL;
}
