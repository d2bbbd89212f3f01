/* load/external.h: ONNX external data: files beside a model that its tensors refer to.
 *
 * Laws: a location is a relative path without "..", and the file that it leads to, symlinks
 * followed, lies in the model's own folder or below; each file is mapped once. */
#ifndef LOAD_EXTERNAL_H
#define LOAD_EXTERNAL_H

#include "base/io.h"
#include "base/map.h"
#include "base/mem.h"

typedef struct external_files {
  const char *model_path; /* borrowed */
  uint64_t max_bytes;     /* of one file, 0: no limit */
  char *folder;           /* real path, from the first use on */
  VEC(char *) locations;
  VEC(io_map *) maps; /* in step with locations */
  map index;          /* location -> position in both */
} external_files;

/* Start with {.model_path = path, .max_bytes = n}. The map is borrowed. */
rlx_status external_open(external_files *e, const char *location, io_map **out_file);
void external_free(external_files *e);

#endif
